//! Container images without Docker: an archive as `docker save` writes it, which `docker load`, `ctr images import` and
//! `kind load image-archive` take. Several images of one archive may share layers. The same input gives the same bytes.

use crate::tar::Tar;
use anyhow::{Context, Result};
use ring::digest::{Context as Digest, SHA256};
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The path of every image that does not say otherwise.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What lies at a path of a layer.
#[derive(Clone, Debug)]
pub enum Item {
    /// A copy of this file, with its permissions.
    File(PathBuf),
    /// A symbolic link to this.
    Link(String),
    /// An empty folder with these permissions.
    Folder(u32),
}

/// Files by their absolute path in the image. Folders above them are made as needed.
#[derive(Clone, Debug, Default)]
pub struct Layer(pub BTreeMap<String, Item>);

impl Layer {
    /// A layer with one program.
    #[must_use]
    pub fn program(path: &str, source: &Path) -> Self {
        Self::default().file(path, source)
    }

    /// With a copy of `source` at `path`.
    #[must_use]
    pub fn file(mut self, path: &str, source: &Path) -> Self {
        self.0.insert(path.to_owned(), Item::File(source.to_path_buf()));
        self
    }

    /// With a link at `path`.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert(path.to_owned(), Item::Link(target.to_owned()));
        self
    }

    /// With an empty folder.
    #[must_use]
    pub fn folder(mut self, path: &str, mode: u32) -> Self {
        self.0.insert(path.to_owned(), Item::Folder(mode));
        self
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut tar = Tar::new(BufWriter::new(File::create(path)?));
        let mut folders = BTreeSet::new();
        for (path, item) in &self.0 {
            let name = path.trim_start_matches('/');
            for (at, _) in name.match_indices('/') {
                if folders.insert(name[..at].to_owned()) {
                    tar.folder(&name[..at], 0o755)?;
                }
            }
            match item {
                Item::File(source) => {
                    let read = || format!("{path} of an image: {}", source.display());
                    let mode = fs::metadata(source).with_context(read)?.permissions().mode() & 0o7777;
                    tar.file(name, mode, source).with_context(read)?;
                }
                Item::Link(target) => tar.link(name, target)?,
                Item::Folder(mode) => {
                    folders.insert(name.to_owned());
                    tar.folder(name, *mode)?;
                }
            }
        }
        tar.finish()?;
        Ok(())
    }
}

/// An image: names, layers from the lowest up, and how it runs.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// Full names, `registry/repository:tag`.
    pub tags: Vec<String>,
    /// From the lowest up.
    pub layers: Vec<&'a Layer>,
    /// What runs.
    pub entrypoint: Vec<String>,
    /// As whom, `uid:gid`; root if empty.
    pub user: String,
}

impl<'a> Image<'a> {
    /// An image that runs `entrypoint` as root.
    #[must_use]
    pub fn new(tag: &str, layers: &[&'a Layer], entrypoint: &[&str]) -> Self {
        Self {
            tags: vec![tag.to_owned()],
            layers: layers.to_vec(),
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            user: String::new(),
        }
    }

    /// Under another name as well.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// Run as `user`, `uid:gid`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    fn config(&self, diff_ids: &[String]) -> Value {
        let ids: Vec<String> = diff_ids.iter().map(|id| format!("sha256:{id}")).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": [PATH], "User": self.user, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": ids},
        })
    }
}

/// As container images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    }
}

/// Writes the images into one archive.
///
/// # Errors
/// When a source cannot be read or the archive cannot be written.
pub fn archive(images: &[Image<'_>], out: &Path) -> Result<()> {
    let scratch = tempfile::tempdir_in(out.parent().context("an archive lies in a folder")?)?;
    let mut tar = Tar::new(BufWriter::new(File::create(out).with_context(|| out.display().to_string())?));
    let mut written: BTreeMap<*const Layer, String> = BTreeMap::new();
    let mut manifest = Vec::new();
    for image in images {
        for layer in &image.layers {
            if let Entry::Vacant(first) = written.entry(std::ptr::from_ref(*layer)) {
                first.insert(add(&mut tar, layer, scratch.path())?);
            }
        }
        let ids: Vec<String> = image.layers.iter().map(|layer| written[&std::ptr::from_ref(*layer)].clone()).collect();
        let config = image.config(&ids).to_string();
        let name = format!("{}.json", hex(ring::digest::digest(&SHA256, config.as_bytes()).as_ref()));
        tar.bytes(&name, 0o644, config.as_bytes())?;
        let layers: Vec<String> = ids.iter().map(|id| format!("{id}/layer.tar")).collect();
        manifest.push(json!({"Config": name, "RepoTags": image.tags, "Layers": layers}));
    }
    tar.bytes("manifest.json", 0o644, Value::Array(manifest).to_string().as_bytes())?;
    tar.finish()?;
    Ok(())
}

/// Adds a layer and returns the digest that names it.
fn add<W: std::io::Write>(tar: &mut Tar<W>, layer: &Layer, scratch: &Path) -> Result<String> {
    let path = scratch.join("layer.tar");
    layer.write(&path)?;
    let id = digest(&path)?;
    tar.file(&format!("{id}/layer.tar"), 0o644, &path)?;
    Ok(id)
}

fn digest(path: &Path) -> Result<String> {
    let (mut file, mut digest, mut buffer) = (File::open(path)?, Digest::new(&SHA256), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(digest.finish().as_ref())),
            read => digest.update(&buffer[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_images_give_the_same_bytes_and_share_layers() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("program");
        fs::write(&program, b"text")?;
        let layer = Layer::program("/usr/bin/program", &program).folder("/data", 0o755).link("/p", "usr/bin/program");
        let images =
            [Image::new("a:1", &[&layer], &["/p"]).user("1:1"), Image::new("b:1", &[&layer], &["/p"]).tag("c:1")];
        let (first, second) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
        archive(&images, &first)?;
        archive(&images, &second)?;
        assert_eq!(fs::read(&first)?, fs::read(&second)?);
        let listing = std::process::Command::new("tar").arg("-tf").arg(&first).output()?;
        let names = String::from_utf8(listing.stdout)?;
        assert_eq!(names.matches("layer.tar").count(), 1, "{names}");
        assert_eq!(names.matches(".json").count(), 3, "{names}");
        Ok(())
    }

    #[test]
    fn a_missing_source_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let layer = Layer::program("/p", Path::new("/nowhere/program"));
        let error = archive(&[Image::new("a:1", &[&layer], &["/p"])], &folder.path().join("a.tar"));
        assert!(format!("{:#}", error.expect_err("there is no such file")).contains("/nowhere/program"));
    }
}
