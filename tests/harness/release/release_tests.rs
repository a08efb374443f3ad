use super::*;
use std::process::Command;

fn image_of(folder: &Path, content: &str) -> Image {
    let program = folder.join("program");
    fs::write(&program, content).unwrap();
    Image::make_in(&folder.join("images"), "sample", &[("sample", &program)]).unwrap()
}

/// What a tool that others wrote reads out of an archive.
fn tar(arguments: &[&str], archive: &Path) -> String {
    let output = Command::new("tar").args(arguments).arg("-f").arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
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
fn an_archive_says_what_runs_as_whom_and_its_layer_is_what_its_digest_says() {
    let folder = tempfile::tempdir().unwrap();
    let image = image_of(folder.path(), "content of the program");
    let read = |path: &str| tar(&["-xO", path].map(|word| word), image.archive());
    let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], image.reference());
    let configuration: serde_json::Value =
        serde_json::from_str(&read(manifest[0]["Config"].as_str().unwrap())).unwrap();
    assert_eq!(configuration["config"]["User"], "65532:65532");
    assert_eq!(configuration["config"]["Entrypoint"][0], "/sample");
    let layer = manifest[0]["Layers"][0].as_str().unwrap();
    let digest = configuration["rootfs"]["diff_ids"][0].as_str().unwrap();
    assert_eq!(format!("{}/layer.tar", digest.strip_prefix("sha256:").unwrap()), layer);
    tar(&["-x", "-C", folder.path().to_str().unwrap(), layer], image.archive());
    let layer = folder.path().join(layer);
    let summed = Command::new("sha256sum").arg(&layer).output().unwrap();
    assert!(digest.ends_with(String::from_utf8_lossy(&summed.stdout).split(' ').next().unwrap()));
    assert_eq!(tar(&["-xO", "sample"], &layer), "content of the program");
    assert!(tar(&["-tv"], &layer).lines().any(|line| line.starts_with("-r-xr-xr-x") && line.ends_with(" sample")));
}
