//! Values of rows that were read lately from the backend. A row never changes once it is written, so what is here
//! is never stale; it is only replaced by another row that falls on the same slot.

use crate::row::RowId;
use bytes::Bytes;
use std::sync::Mutex;

/// A power of two. Rows of neighbouring revisions fall on neighbouring slots: what was written together stays
/// together. With values of 256 bytes it takes about 6 MiB.
const SLOTS: usize = 1 << 14;

/// Larger values are not kept: the cache never takes more than this times [`SLOTS`], and reading them costs little
/// for each byte.
const VALUE_BYTES_MAX: usize = 1024;

pub(crate) struct ValueCache {
    slots: Vec<Mutex<(RowId, Bytes)>>,
}

impl Default for ValueCache {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Mutex::new((RowId::NONE, Bytes::new()))).collect() }
    }
}

impl ValueCache {
    pub(crate) fn get(&self, id: RowId) -> Option<Bytes> {
        let slot = self.slot(id).lock().expect("no holder of this lock panics");
        (slot.0 == id).then(|| slot.1.clone())
    }

    /// Keeps a value that nothing else is attached to.
    pub(crate) fn put(&self, id: RowId, value: &Bytes) {
        if value.len() <= VALUE_BYTES_MAX {
            *self.slot(id).lock().expect("no holder of this lock panics") = (id, value.clone());
        }
    }

    fn slot(&self, id: RowId) -> &Mutex<(RowId, Bytes)> {
        let place = id.main.cast_unsigned().wrapping_add(u64::from(id.sub));
        &self.slots[usize::try_from(place % SLOTS as u64).expect("fewer than slots")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_until_another_row_takes_its_slot() {
        let cache = ValueCache::default();
        let [first, second] = [5, 5 + SLOTS as i64].map(RowId::first_of);
        cache.put(first, &Bytes::from_static(b"1"));
        assert_eq!((cache.get(first), cache.get(second)), (Some(Bytes::from_static(b"1")), None));
        cache.put(second, &Bytes::from_static(b"2"));
        assert_eq!((cache.get(first), cache.get(second)), (None, Some(Bytes::from_static(b"2"))));
        cache.put(first, &vec![0; VALUE_BYTES_MAX + 1].into());
        assert_eq!(cache.get(first), None);
    }
}
