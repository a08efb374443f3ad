//! Ports that two tests never share: a block of twenty is held by a lock on a file for as long as the test lives.
//! The blocks lie below the range the kernel hands out by itself.

use anyhow::{Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs::{self, File};

const FIRST: u16 = 21_000;
const BLOCK: u16 = 20;
const BLOCKS: u16 = 500;

/// A block of ports, held until dropped.
#[derive(Debug)]
pub struct Ports {
    base: u16,
    _held: File,
}

impl Ports {
    /// Takes the first free block.
    ///
    /// # Errors
    /// When all are held.
    pub fn take() -> Result<Self> {
        let folder = env::temp_dir().join("quorate-ports");
        fs::create_dir_all(&folder)?;
        for block in 0..BLOCKS {
            let file = File::create(folder.join(block.to_string()))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Self { base: FIRST + block * BLOCK, _held: file });
            }
        }
        bail!("all {BLOCKS} blocks of test ports are held (locks in {})", folder.display())
    }

    /// The `n`-th port of the block.
    #[must_use]
    pub fn port(&self, n: u16) -> u16 {
        assert!(n < BLOCK, "a block has {BLOCK} ports");
        self.base + n
    }
}
