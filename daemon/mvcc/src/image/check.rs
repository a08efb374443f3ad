//! Judging an image without storing it: whoever made it may have meant harm, so everything a store relies on is
//! looked at here, and what passes can be opened.

use super::{END, HEAD, ImageError, REVISIONS};
use crate::head::{HEAD_KEY, Head};
use crate::row::{RowId, RowView};
use crate::types::Revision;
use crate::varint;

/// The largest revision of an image. No cluster lives to see it, and what is written after it needs revisions, too.
const REVISION_MAX: i64 = i64::MAX >> 1;

/// Goes through an image block by block. It is whole once [`ImageCheck::finish`] has succeeded.
#[derive(Debug, Default)]
pub struct ImageCheck {
    rows: u64,
    last: RowId,
    head: Option<Head>,
    ended: bool,
}

/// What an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// The log index it stands at.
    pub applied: u64,
    /// The newest revision in it.
    pub revision: Revision,
    /// The oldest readable revision; [`Revision::NEVER`] if nothing was compacted.
    pub compacted: Revision,
    /// The hash of everything applied.
    pub state_hash: u64,
    /// How many rows it has.
    pub rows: u64,
}

/// One item of a block.
pub(super) enum Item<'a> {
    Head(&'a [u8]),
    Revision { key: &'a [u8], value: &'a [u8] },
    End { rows: u64 },
}

impl ImageCheck {
    /// Takes the next block.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] if it is not the next block of an image.
    pub fn block(&mut self, block: &[u8]) -> Result<(), ImageError> {
        for item in items(opened(block)?) {
            if self.ended {
                return Err(ImageError::Damaged("something follows the end"));
            }
            self.item(&item.ok_or(ImageError::Damaged("a block has no such item"))?)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item<'_>) -> Result<(), ImageError> {
        match item {
            Item::Revision { .. } | Item::Head(_) if self.head.is_some() => {
                return Err(ImageError::Damaged("rows follow the head"));
            }
            Item::Revision { key, value } => self.revision(key, value)?,
            Item::Head(head) => self.head = Some(self.checked_head(head)?),
            Item::End { rows } if *rows == self.rows => self.ended = true,
            Item::End { .. } => return Err(ImageError::Damaged("blocks are missing")),
        }
        self.rows += u64::from(!self.ended);
        Ok(())
    }

    fn revision(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        let id = RowId::from_key(key).map_err(|_| ImageError::Damaged("a revision has no such key"))?;
        let row = RowView::decode(id, value).map_err(|_| ImageError::Damaged("a row cannot be read"))?;
        if id <= self.last {
            return Err(ImageError::Damaged("revisions do not ascend"));
        }
        if !row.version.links.lead_back_from(id) {
            return Err(ImageError::Damaged("a version names a later one as older"));
        }
        self.last = id;
        Ok(())
    }

    fn checked_head(&self, head: &[u8]) -> Result<Head, ImageError> {
        let head = Head::decode(head).map_err(|_| ImageError::Damaged("the head row cannot be read"))?;
        if head.revision < self.last.main {
            return Err(ImageError::Damaged("the head row is older than the revisions"));
        }
        if head.revision > REVISION_MAX {
            return Err(ImageError::Damaged("the revision leaves no room for others"));
        }
        Ok(head)
    }

    /// Whether the last block has been seen.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What the image held.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] if the end is missing.
    pub fn finish(self) -> Result<ImageSummary, ImageError> {
        let rows = self.rows;
        Ok(ImageSummary::of(&self.into_head()?, rows))
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// A store that was never written has no head row yet.
    pub(super) fn into_head(self) -> Result<Head, ImageError> {
        if !self.ended {
            return Err(ImageError::Damaged("it ends too early"));
        }
        Ok(self.head.unwrap_or_default())
    }
}

impl ImageSummary {
    pub(super) fn of(head: &Head, rows: u64) -> Self {
        Self {
            applied: head.applied,
            revision: Revision(head.revision),
            compacted: Revision(head.compacted),
            state_hash: head.state_hash,
            rows,
        }
    }
}

/// What a block holds besides its checksum, which must be right.
fn opened(block: &[u8]) -> Result<&[u8], ImageError> {
    let (crc, items) = block.split_first_chunk().ok_or(ImageError::Damaged("a block is cut short"))?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(items) {
        return Err(ImageError::Damaged("a block has another checksum"));
    }
    Ok(items)
}

/// The items, up to and with one that makes no sense.
pub(super) fn items(mut rest: &[u8]) -> impl Iterator<Item = Option<Item<'_>>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let item = take_item(&mut rest);
        rest = if item.is_some() { rest } else { &[] };
        Some(item)
    })
}

fn take_item<'a>(items: &mut &'a [u8]) -> Option<Item<'a>> {
    let (&number, rest) = items.split_first()?;
    *items = rest;
    if number == END {
        return varint::take(items).map(|rows| Item::End { rows });
    }
    let (key, value) = (take_part(items)?, take_part(items)?);
    match number {
        HEAD if key == HEAD_KEY => Some(Item::Head(value)),
        REVISIONS => Some(Item::Revision { key, value }),
        _ => None,
    }
}

fn take_part<'a>(items: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::take(items)?).ok()?;
    let (part, rest) = items.split_at_checked(length)?;
    *items = rest;
    Some(part)
}
