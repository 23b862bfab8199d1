//! The documents hold together: links lead somewhere, and what the README says can be typed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/adr", "docs/runbooks", "schemas", "examples/kth-sp2", "deploy/helm"];
    let files = folders.iter().filter_map(|folder| fs::read_dir(root().join(folder)).ok()).flatten().flatten();
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn relative_links_lead_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text).filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let target = document.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{}: {link}", document.display());
            followed += 1;
        }
    }
    assert!(followed > 5, "{followed} links");
}

#[test]
fn every_dev_verb_that_a_document_names_exists() {
    let script = fs::read_to_string(root().join("dev")).unwrap();
    let mut named = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for rest in text.split("./dev ").skip(1) {
            let verb: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            if !verb.is_empty() {
                assert!(script.contains(&format!("\n  {verb})")), "{}: ./dev {verb}", document.display());
                named += 1;
            }
        }
    }
    assert!(named > 1, "{named} verbs");
}

#[test]
fn every_decision_has_a_number_of_its_own_and_is_in_the_list() {
    let list = fs::read_to_string(root().join("docs/adr/README.md")).unwrap();
    let mut numbers = BTreeSet::new();
    for file in fs::read_dir(root().join("docs/adr")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || list.contains(&name), "{name} is not in the list");
        assert!(name == "README.md" || numbers.insert(name[..4].to_owned()), "{name}: the number is taken");
    }
}
