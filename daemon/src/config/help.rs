//! `--help`: every flag in its group, with its default.

use super::flag::{Group, Meaning};
use super::problem::environment_name;
use super::table::flags;
use std::fmt::Write;

/// The help text for a program of this name.
#[must_use]
pub(super) fn text(program: &str) -> String {
    let mut text = format!(
        "Usage:\n\n  {program} [flags]\n    Start a member.\n\n  {program} --version\n    Show the version.\n\n  \
         {program} -h | --help\n    Show this text.\n\n  {program} --config-file FILE\n    Take everything from a file, \
         in etcd's form. Other flags and the environment are then ignored.\n\n\
         Every flag is an environment variable too: --listen-peer-urls is {}.\n",
        environment_name("listen-peer-urls")
    );
    for group in Group::ALL {
        write_group(&mut text, group).expect("a String takes every text");
    }
    text
}

fn write_group(text: &mut String, group: Group) -> std::fmt::Result {
    writeln!(text, "\n{}:", group.title())?;
    for flag in flags().filter(|flag| flag.group == group) {
        writeln!(text, "  --{} '{}'", flag.name, flag.default)?;
        match flag.meaning {
            Meaning::Used => writeln!(text, "    {}", flag.doc)?,
            Meaning::Accepted(why) => writeln!(text, "    {} Accepted, without a meaning here: {why}.", flag.doc)?,
            Meaning::Refused(instead) => writeln!(text, "    {} Not supported: {instead}.", flag.doc)?,
            Meaning::Alias(of) => writeln!(text, "    The same as --{of}.")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_listed_once_with_its_default() {
        let text = text("quorate serve");
        for flag in flags() {
            let line = format!("\n  --{} '{}'\n", flag.name, flag.default);
            assert_eq!(text.matches(&line).count(), 1, "{}", flag.name);
        }
    }
}
