//! The little of the tar format (ustar, POSIX.1-1988) that an image needs: regular files, owned by root, without times,
//! so that the same files are the same bytes.
//!
//! ```text
//!   header 512 │ content, padded to 512 │ header 512 │ content ... │ 1,024 zeros
//! ```

const BLOCK: usize = 512;

/// A tar in memory: the programs it is for have a few dozen megabytes.
#[derive(Debug, Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    /// Appends a file. `path` is relative, at most 100 bytes.
    pub(super) fn file(&mut self, path: &str, content: &[u8], mode: u32) {
        self.0.extend_from_slice(&header(path, content.len(), mode));
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// A header: numbers in octal with a zero behind, the checksum taken while its own field holds spaces.
fn header(path: &str, size: usize, mode: u32) -> [u8; BLOCK] {
    assert!(path.len() <= 100 && !path.starts_with('/'), "{path:?} fits into a header");
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}
