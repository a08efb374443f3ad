//! Who answers, and at which revision and term.
//!
//! * `member_id` is the answering member's, `cluster_id` the same everywhere and never zero.
//! * The revision is the store's own when the answer was made, whichever revision was asked for.
//! * Responses of the Cluster service have no revision; `Defragment` and `MoveLeader` have no header at all.

use super::Api;
use super::proto::etcdserverpb::ResponseHeader;
use mvcc::Revision;

impl Api {
    /// The header of an answer at `revision`.
    pub(super) fn header_at(&self, revision: Revision) -> Option<ResponseHeader> {
        let (cluster_id, member_id) = self.ids();
        Some(ResponseHeader { cluster_id, member_id, revision: revision.0, raft_term: self.node.status().term.0 })
    }

    /// The header of an answer that did not come from the store: it carries the current revision all the same.
    pub(super) fn header(&self) -> Option<ResponseHeader> {
        self.header_at(self.node.store().revision())
    }

    /// The header of the Cluster service.
    pub(super) fn header_without_revision(&self) -> Option<ResponseHeader> {
        self.header_at(Revision::ZERO)
    }

    fn ids(&self) -> (u64, u64) {
        let identity = self.node.identity();
        (identity.cluster.0, identity.member.0)
    }
}
