//! What can be asked of the store and what it answers.

use crate::types::{KeyRange, KeyValue, Revision};

/// Which keys to read, when, and what of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At which revision; zero and below for the latest.
    pub revision: Revision,
    /// At most so many keys; zero and below for all.
    pub limit: i64,
    /// In which order.
    pub sort: Sort,
    /// Leave the values out.
    pub keys_only: bool,
    /// Answer with the count alone.
    pub count_only: bool,
    /// Only keys last written at or after it; zero for any.
    pub min_mod_revision: Revision,
    /// Only keys last written at or before it; zero for any.
    pub max_mod_revision: Revision,
    /// Only keys created at or after it; zero for any.
    pub min_create_revision: Revision,
    /// Only keys created at or before it; zero for any.
    pub max_create_revision: Revision,
}

/// By what, and which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// Which way.
    pub order: SortOrder,
    /// By what.
    pub target: SortTarget,
}

/// Which way to sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// By key, ascending; by another target it means ascending.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Greatest first.
    Descend,
}

/// What to sort by. Equal ones stay in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// Writes since its creation.
    Version,
    /// When it was created.
    Create,
    /// When it was last written.
    Mod,
    /// What it holds.
    Value,
}

/// The keys that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The store's revision when it was read, whichever revision was asked for.
    pub revision: Revision,
    /// The keys, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut keys off.
    pub more: bool,
    /// How many keys are in the range at that revision, whatever the limit and the filters.
    pub count: i64,
}
