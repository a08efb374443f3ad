//! Generates the etcd services from `proto/`, without protoc, and keeps their descriptors for reflection.

use std::path::PathBuf;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(["rpc.proto"], ["proto"])?;
    fs::write(out.join("etcd_descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        // Keys and values are views of the request's buffer, not copies.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
