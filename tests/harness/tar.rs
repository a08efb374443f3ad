//! Just enough of the tar format (POSIX ustar) to write image layers and archives the same on every machine: no owner,
//! no time, no order of a file system.
//!
//! ```text
//!   entry = header [512] │ content │ zeros to a multiple of 512        archive = entries │ two headers of zeros
//! ```

use anyhow::{Result, ensure};
use std::fs::File;
use std::io::{Read, Write, copy};
use std::path::Path;

const BLOCK: usize = 512;
/// What a header has room for, without the extensions that we do without.
const NAME_BYTES_MAX: usize = 100;

/// An archive being written.
#[derive(Debug)]
pub struct Tar<W: Write> {
    out: W,
}

impl<W: Write> Tar<W> {
    /// An archive without entries.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// A file with this content.
    ///
    /// # Errors
    /// As all here: when the name is too long or the archive cannot be written.
    pub fn bytes(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.header(name, mode, content.len() as u64, b'0', "")?;
        self.out.write_all(content)?;
        self.pad(content.len() as u64)
    }

    /// A file with the content of `source`.
    ///
    /// # Errors
    /// As above, and when `source` cannot be read.
    pub fn file(&mut self, name: &str, mode: u32, source: &Path) -> Result<()> {
        let file = File::open(source)?;
        let size = file.metadata()?.len();
        self.header(name, mode, size, b'0', "")?;
        let copied = copy(&mut file.take(size), &mut self.out)?;
        ensure!(copied == size, "{} changed while it was read", source.display());
        self.pad(size)
    }

    /// A folder.
    ///
    /// # Errors
    /// As above.
    pub fn folder(&mut self, name: &str, mode: u32) -> Result<()> {
        self.header(&format!("{}/", name.trim_end_matches('/')), mode, 0, b'5', "")
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// As above.
    pub fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.header(name, 0o777, 0, b'2', target)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let over = (size % BLOCK as u64) as usize;
        Ok(self.out.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])?)
    }

    fn header(&mut self, name: &str, mode: u32, size: u64, kind: u8, target: &str) -> Result<()> {
        ensure!(name.len() <= NAME_BYTES_MAX && target.len() <= NAME_BYTES_MAX, "{name} is too long for an archive");
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, target.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        Ok(self.out.write_all(&header)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tar_reads_what_was_written() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (source, archive) = (folder.path().join("source"), folder.path().join("a.tar"));
        std::fs::write(&source, vec![b'x'; 1000])?;
        let mut tar = Tar::new(File::create(&archive)?);
        tar.folder("etc", 0o755)?;
        tar.bytes("etc/empty", 0o600, b"")?;
        tar.file("etc/program", 0o755, &source)?;
        tar.link("program", "etc/program")?;
        tar.finish()?;
        let out = folder.path().join("out");
        std::fs::create_dir(&out)?;
        assert!(Command::new("tar").arg("-C").arg(&out).arg("-xf").arg(&archive).status()?.success());
        assert_eq!(std::fs::read(out.join("program"))?, vec![b'x'; 1000]);
        assert_eq!(std::fs::read(out.join("etc/empty"))?, b"");
        Ok(())
    }

    #[test]
    fn a_name_without_room_is_refused() {
        let mut tar = Tar::new(Vec::new());
        assert!(tar.bytes(&"n".repeat(NAME_BYTES_MAX + 1), 0o644, b"").is_err());
    }
}
