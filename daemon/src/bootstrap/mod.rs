//! How a member comes to be one: it formats its disk, learns who the others are, and from then on starts from what
//! its disk says.

mod ids;
mod node_info;

pub use ids::{ClusterId, StorageId, StorageIdError};
pub use node_info::{NODE_INFO_BYTES_MAX, NodeInfo, NodeInfoError};
