//! An image as one file, in the form of `docker save`:
//!
//! ```text
//!   manifest.json          which configuration, which names, which layers
//!   SHA256.json            the configuration: what runs, as whom, and the digest of the layer
//!   SHA256/layer.tar       the files
//! ```

use super::tar::Tar;
use ring::digest::{SHA256, digest};
use serde_json::json;

/// Characters of the digest that make a tag: enough that two builds never meet, few enough to read.
const TAG_CHARACTERS: usize = 12;

/// An image, packed.
pub(super) struct Packed {
    pub(super) tag: String,
    pub(super) bytes: Vec<u8>,
}

/// Packs one layer. The configuration names the layer by digest, so its own digest stands for everything.
pub(super) fn pack(name: &str, layer: &[u8], entrypoint: &str, user: u32) -> Packed {
    let files = sha256(layer);
    let configuration = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": format!("{user}:{user}"),
            "Entrypoint": [entrypoint],
            "Env": ["PATH=/"],
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{files}")] },
        "history": [{ "created_by": name }],
    });
    let configuration = configuration.to_string();
    let id = sha256(configuration.as_bytes());
    let tag = id[..TAG_CHARACTERS].to_owned();
    let manifest = json!([{
        "Config": format!("{id}.json"),
        "RepoTags": [format!("{name}:{tag}")],
        "Layers": [format!("{files}/layer.tar")],
    }]);
    let mut archive = Tar::default();
    archive.file("manifest.json", manifest.to_string().as_bytes(), 0o444);
    archive.file(&format!("{id}.json"), configuration.as_bytes(), 0o444);
    archive.file(&format!("{files}/layer.tar"), layer, 0o444);
    Packed { tag, bytes: archive.finish() }
}

/// As images name this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
