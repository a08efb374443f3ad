use super::*;
use std::process::Command;

fn image_of(folder: &Path, content: &str) -> Image {
    let program = folder.join("program");
    fs::write(&program, content).unwrap();
    Image::make_in(&folder.join("images"), "sample", &[("sample", &program)], &[]).unwrap()
}

#[test]
fn the_same_files_give_the_same_bytes_and_others_another_tag() {
    let folder = tempfile::tempdir().unwrap();
    let first = image_of(folder.path(), "one");
    let bytes = fs::read(first.archive()).unwrap();
    fs::remove_file(first.archive()).unwrap();
    let again = image_of(folder.path(), "one");
    assert_eq!((first.reference(), bytes), (again.reference(), fs::read(again.archive()).unwrap()));
    assert_ne!(first.tag(), image_of(folder.path(), "two").tag());
}

#[test]
fn an_image_says_its_name_what_runs_and_that_it_is_not_root() {
    let folder = tempfile::tempdir().unwrap();
    let image = image_of(folder.path(), "content");
    let read = |path: &str| {
        let output = Command::new("tar").args(["-xO", path, "-f"]).arg(image.archive()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let manifest = read("manifest.json");
    assert_eq!(manifest[0]["RepoTags"][0], image.reference());
    let configuration = read(manifest[0]["Config"].as_str().unwrap());
    assert_eq!(configuration["config"]["User"], "65532:65532");
    assert_eq!(configuration["config"]["Entrypoint"], serde_json::json!(["/sample"]));
}
