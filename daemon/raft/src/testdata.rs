//! Reads the cases of etcd-io/raft: a directive line, input lines, `----`, expected lines up to a blank one.

use std::fs;
use std::path::Path;

/// One case.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// The file and line it stands at.
    pub(crate) place: String,
    pub(crate) directive: String,
    /// `name=value` words of the directive line.
    arguments: Vec<(String, String)>,
    pub(crate) input: Vec<String>,
    pub(crate) expected: Vec<String>,
}

impl Case {
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn begin(place: String, line: &str) -> Self {
        // Lists are written with and without blanks: `(1, 2)`.
        let line = line.replace(", ", ",");
        let mut words = line.split_whitespace();
        let directive = words.next().unwrap_or_default().to_owned();
        let argument = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { place, directive, arguments: words.filter_map(argument).collect(), ..Self::default() }
    }
}

/// The cases of every file of a folder, file by file; none, and a line that says so, where the folder is missing.
pub(crate) fn files(folder: &str) -> Vec<Vec<Case>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = |ancestor: &Path| ancestor.join("shared/testdata/etcd-raft").join(folder);
    let path = here.ancestors().map(beside).find(|path| path.is_dir()).unwrap_or_else(|| beside(here));
    let Ok(found) = fs::read_dir(&path) else {
        println!("skipped: {} is not there", path.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = found.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| parse(path)).collect()
}

/// The same in one list.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    files(folder).into_iter().flatten().collect()
}

fn parse(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).expect("readable");
    let mut cases = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut case = Case::begin(format!("{}:{}", path.display(), number + 1), line);
        while let Some((_, line)) = lines.next_if(|(_, line)| *line != "----") {
            case.input.push(line.to_owned());
        }
        lines.next();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
            case.expected.push(line.to_owned());
        }
        cases.push(case);
    }
    cases
}
