//! Scenes: one file for each rule that clients rely on, in plain words, with what the store answered below.
//!
//! A scene is a list of commands, `---`, and the answers. `SCENES=rewrite` writes the answers down anew; what then
//! differs is for a person to judge. The words are in [`words`].

mod show;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

fn scenes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let files = fs::read_dir(folder).expect("the folder of this file").map(|entry| entry.expect("readable").path());
    let mut scenes: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    scenes.sort();
    scenes
}

#[test]
fn every_scene_ends_as_it_is_written() {
    let scenes = scenes();
    assert!(scenes.len() >= 20, "the scenes were found");
    let rewrite = std::env::var("SCENES").is_ok_and(|wish| wish == "rewrite");
    let mut wrong = Vec::new();
    for path in scenes {
        let text = fs::read_to_string(&path).expect("readable");
        let (script, written) = text.split_once("---\n").unwrap_or((&text, ""));
        let observed = words::play(script);
        if rewrite {
            fs::write(&path, format!("{script}---\n{observed}")).expect("writable");
        } else if observed != written {
            wrong.push(format!("{}\n--- written\n{written}--- observed\n{observed}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
