//! Container images without Docker: static programs in an empty base, as an archive that `docker load`,
//! `kind load image-archive` and `ctr images import` take.
//!
//! * The same files give the same archive, byte for byte, and the tag is the digest of what is in it: a cluster never
//!   runs another build than the one a test asked for, and nothing unchanged is loaded twice.
//! * An image holds no shell, no library and no user but a number.

mod program;
#[cfg(test)]
mod release_tests;

pub use program::static_program;

use crate::image::{self, Layer};
use crate::{peer, tree};
use anyhow::{Context, Result};
use ring::digest::{Context as Digest, SHA256};
use std::fs;
use std::path::{Path, PathBuf};

/// Whom the programs run as: the number that distroless images have made customary for "not root".
const USER: &str = "65532:65532";

/// Characters of the digest that make a tag: enough that two builds never meet, few enough to read.
const TAG_CHARACTERS: usize = 12;

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

    /// The same, under these tags as well: one program that stands for several versions.
    ///
    /// # Errors
    /// When it cannot be built or written.
    pub fn of_package_as(package: &str, binary: &str, tags: &[&str]) -> Result<Self> {
        let program = static_program(package, binary)?;
        Self::make_in(&tree::cache()?.join("images"), binary, &[(binary, &program)], tags)
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
        Self::make_in(&folder, name, programs, &[])
    }

    fn make_in(folder: &Path, name: &str, programs: &[(&str, &Path)], tags: &[&str]) -> Result<Self> {
        let (first, _) = programs.first().context("an image starts a program")?;
        let mut files: Vec<(String, &Path)> = programs.iter().map(|(name, file)| (format!("/{name}"), *file)).collect();
        files.extend(Path::new(AUTHORITIES).exists().then(|| (AUTHORITIES.to_owned(), Path::new(AUTHORITIES))));
        let tag = tag(&files)?;
        let names: String = tags.iter().map(|also| format!("-{also}")).collect();
        let archive = folder.join(format!("{name}-{tag}{names}.tar"));
        let image = Self { name: name.to_owned(), tag, archive };
        if !image.archive.exists() {
            let layer = files.iter().fold(Layer::default(), |layer, (path, file)| layer.file(path, file));
            let entrypoint = format!("/{first}");
            let built = image::Image::new(&image.reference(), &[&layer], &[&entrypoint]).user(USER);
            image.write(&tags.iter().fold(built, |built, also| built.tag(&format!("{name}:{also}"))))?;
        }
        Ok(image)
    }

    /// Under another name first, so that a run cut short leaves nothing that looks whole.
    fn write(&self, image: &image::Image<'_>) -> Result<()> {
        fs::create_dir_all(self.archive.parent().context("an archive lies in a folder")?)?;
        let partial = self.archive.with_extension(format!("partial-{}", std::process::id()));
        image::archive(std::slice::from_ref(image), &partial)?;
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

/// The digest of every path and of what lies there.
fn tag(files: &[(String, &Path)]) -> Result<String> {
    let mut digest = Digest::new(&SHA256);
    digest.update(USER.as_bytes());
    for (path, file) in files {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        digest.update(path.as_bytes());
        digest.update(&bytes.len().to_le_bytes());
        digest.update(&bytes);
    }
    let text: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(text[..TAG_CHARACTERS].to_owned())
}
