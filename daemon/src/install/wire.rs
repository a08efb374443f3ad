//! What is said on the snapshot lane: one question, one answer, one after the other. Both are JSON, because they are
//! rare next to what they bring; manifests and chunks follow as records.

use super::progress::ProgressView;
use serde::{Deserialize, Serialize};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Ask {
    /// Which snapshot do you have that covers at least this entry?
    Describe {
        /// The index of the entry.
        index: u64,
    },
    /// Which snapshot is the newest in object storage, if it covers at least this entry?
    Staged {
        /// The index of the entry.
        index: u64,
    },
    /// A chunk of the snapshot.
    Chunk {
        /// The snapshot's id.
        snapshot: String,
        /// The place of the chunk in its manifest.
        number: u32,
    },
    /// No question: this is how far the caller has come with an install.
    Progress {
        /// How far.
        view: ProgressView,
    },
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// Its manifest follows.
    Manifest,
    /// The name of the object with its manifest follows.
    Staged,
    /// The chunk follows.
    Chunk,
    /// A snapshot is being made ready: ask again.
    Preparing,
    /// The member that was asked has not applied that entry itself.
    Behind,
    /// There is no such snapshot here, or not any more.
    Gone,
    /// The progress has been noted.
    Noted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_survive_json() {
        let asks = [
            Ask::Describe { index: 9 },
            Ask::Staged { index: 9 },
            Ask::Chunk { snapshot: "ab".into(), number: 3 },
            Ask::Progress { view: ProgressView { source: "objects".into(), ..ProgressView::default() } },
        ];
        for ask in asks {
            let json = serde_json::to_string(&ask).unwrap();
            assert_eq!(serde_json::from_str::<Ask>(&json).unwrap(), ask, "{json}");
        }
        assert_eq!(serde_json::to_string(&Answer::Gone).unwrap(), r#"{"answer":"gone"}"#);
    }
}
