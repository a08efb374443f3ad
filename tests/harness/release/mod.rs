//! Container images without Docker: static programs in an empty base, as an archive that `docker load`,
//! `kind load image-archive` and `ctr images import` take.
//!
//! * The same files give the same archive, byte for byte, and the tag is the digest of what is in it: a cluster never
//!   runs another build than the one a test asked for, and nothing unchanged is loaded twice.
//! * An image holds no shell, no library and no user but a number.

mod archive;
mod program;
#[cfg(test)]
mod release_tests;
mod tar;

pub use program::static_program;

use crate::{peer, tree};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use tar::Tar;

/// Whom the programs run as: the number that distroless images have made customary for "not root".
const USER: u32 = 65532;

/// Where the certificates of public authorities are looked for, here and in the image: object stores and collectors
/// are called over TLS.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    name: String,
    tag: String,
    archive: PathBuf,
}

impl Image {
    /// The daemon, built now if need be.
    ///
    /// # Errors
    /// When it cannot be built or written.
    pub fn quorate() -> Result<Self> {
        Self::of_package("quorate", "quorate")
    }

    /// An image of a binary of a package of this workspace, named after the binary.
    ///
    /// # Errors
    /// When it cannot be built or written.
    pub fn of_package(package: &str, binary: &str) -> Result<Self> {
        let program = static_program(package, binary)?;
        Self::make(binary, &[(binary, &program)])
    }

    /// What tests run inside a cluster: `etcdctl`, and nothing else.
    ///
    /// # Errors
    /// When it cannot be built or written.
    pub fn client() -> Result<Self> {
        let program = peer::etcdctl()?;
        Self::make("quorate-test-client", &[("etcdctl", &program)])
    }

    /// An image of `programs` (name in the image's root, file here). It starts the first of them.
    ///
    /// # Errors
    /// When a program cannot be read or the archive not be written.
    pub fn make(name: &str, programs: &[(&str, &Path)]) -> Result<Self> {
        let folder = tree::cache()?.join("images");
        Self::make_in(&folder, name, programs)
    }

    fn make_in(folder: &Path, name: &str, programs: &[(&str, &Path)]) -> Result<Self> {
        let mut layer = Tar::default();
        if let Ok(authorities) = fs::read(AUTHORITIES) {
            layer.file(AUTHORITIES.trim_start_matches('/'), &authorities, 0o444);
        }
        for (program, file) in programs {
            let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
            layer.file(program, &bytes, 0o555);
        }
        let (first, _) = programs.first().context("an image starts a program")?;
        let packed = archive::pack(name, &layer.finish(), &format!("/{first}"), USER);
        let image =
            Self { name: name.to_owned(), archive: folder.join(format!("{name}-{}.tar", packed.tag)), tag: packed.tag };
        if !image.archive.exists() {
            image.write(&packed.bytes)?;
        }
        Ok(image)
    }

    /// Under another name first, so that a run cut short leaves nothing that looks whole.
    fn write(&self, bytes: &[u8]) -> Result<()> {
        fs::create_dir_all(self.archive.parent().context("an archive lies in a folder")?)?;
        let partial = self.archive.with_extension(format!("partial-{}", std::process::id()));
        fs::write(&partial, bytes)?;
        fs::rename(&partial, &self.archive)?;
        Ok(())
    }

    /// Its name without a tag.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tag: the digest of its content, shortened.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `name:tag`, as a pod names it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// The archive to load.
    #[must_use]
    pub fn archive(&self) -> &Path {
        &self.archive
    }
}
