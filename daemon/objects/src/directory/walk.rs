//! Names in order, a page at a time, without holding more than a page and one folder of each depth.

use super::file::{Fault, attributes};
use crate::{Cursor, LIST_PAGE_OBJECTS_MAX, Listed, ObjectName, Page, Prefix};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// One page of the names under `prefix` that come after `after`.
pub(super) fn page(root: &Path, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Fault> {
    let mut walk = Walk { root, after: after.map_or("", |cursor| cursor.0.as_str()), page: Page::default() };
    walk.folder(prefix.folder().map_or("", ObjectName::as_str))?;
    Ok(walk.page)
}

struct Walk<'a> {
    root: &'a Path,
    /// Names up to and including this one were listed before.
    after: &'a str,
    page: Page,
}

impl Walk<'_> {
    /// Lists a folder; false once the page is full.
    fn folder(&mut self, folder: &str) -> Result<bool, Fault> {
        for (name, is_folder) in self.entries(folder)? {
            let name = name.trim_end_matches('/');
            let go_on = if is_folder { self.folder(name)? } else { self.object(name)? };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a folder holds and is still to be listed, in the order of whole names: a folder sorts as its name with the
    /// slash, so that `a.b` comes before `a/c`.
    fn entries(&self, folder: &str) -> Result<Vec<(String, bool)>, Fault> {
        let listed = match fs::read_dir(self.root.join(folder)) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut entries = Vec::new();
        for entry in listed {
            let entry = entry?;
            let Some(part) = entry.file_name().to_str().filter(|part| !part.starts_with('.')).map(str::to_owned) else {
                continue;
            };
            let is_folder = entry.file_type()?.is_dir();
            let slash = if is_folder { "/" } else { "" };
            let name = if folder.is_empty() { format!("{part}{slash}") } else { format!("{folder}/{part}{slash}") };
            if self.is_ahead(&name, is_folder) {
                entries.push((name, is_folder));
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// Whether an object of this name, or some object in this folder, is still to be listed.
    fn is_ahead(&self, name: &str, is_folder: bool) -> bool {
        name > self.after || (is_folder && self.after.starts_with(name))
    }

    fn object(&mut self, name: &str) -> Result<bool, Fault> {
        let Ok(object) = ObjectName::new(name) else { return Ok(true) };
        if self.page.objects.len() == LIST_PAGE_OBJECTS_MAX {
            self.page.next = self.page.objects.last().map(|last| Cursor(last.name.as_str().to_owned()));
            return Ok(false);
        }
        match fs::metadata(self.root.join(name)) {
            Ok(meta) => self.page.objects.push(Listed { name: object, attributes: attributes(&meta) }),
            // Deleted since its folder was read.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}
