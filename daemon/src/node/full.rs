//! Which of a member's directories have no room on their disks. What is to be written there waits; so that little has
//! to, the engine hears of it: a leader hands over, and refuses writes while nobody else can take them.

/// A directory of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// The log's.
    Log,
    /// The data directory, with the store.
    Data,
}

/// Where there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullDisks {
    /// In the log's directory.
    pub log: bool,
    /// In the data directory.
    pub data: bool,
}

impl FullDisks {
    /// What is known of one of them now.
    pub(super) fn note(&mut self, tree: Tree, full: bool) {
        match tree {
            Tree::Log => self.log = full,
            Tree::Data => self.data = full,
        }
    }

    /// Whether this member should take nothing new. What it cannot flush fills the store's buffer, and the log behind it.
    pub(super) fn any(self) -> bool {
        self.log || self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_in_one_directory_is_not_room_in_the_other() {
        let mut full = FullDisks::default();
        for (tree, is_full, any) in
            [(Tree::Log, true, true), (Tree::Data, true, true), (Tree::Log, false, true), (Tree::Data, false, false)]
        {
            full.note(tree, is_full);
            assert_eq!(full.any(), any, "{tree:?} {is_full}");
        }
    }
}
