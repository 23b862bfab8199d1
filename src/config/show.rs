//! `config show`: every setting, its value and where it comes from; secrets masked.

use super::{
    fault::Origin,
    kafka::{MASK, is_secret},
    load::Loaded,
    table::SETTINGS,
};
use std::fmt::Write as _;

/// Three columns: setting, value, origin.
#[must_use]
pub fn table(loaded: &Loaded) -> String {
    let mut rows = vec![["SETTING".to_owned(), "VALUE".to_owned(), "ORIGIN".to_owned()]];
    for setting in SETTINGS {
        let value = setting.kind.show(&(setting.get)(&loaded.config));
        rows.push([setting.name.to_owned(), value, loaded.origin(setting.name).to_string()]);
    }
    for (property, value) in &loaded.config.kafka {
        let name = format!("kafka.{property}");
        let shown = if is_secret(property) { MASK } else { value };
        let origin = loaded.origin(&name).to_string();
        rows.push([name, shown.to_owned(), origin]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(40);
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    for [name, value, origin] in &rows {
        let _ = writeln!(text, "{name:first$}  {value:second$}  {origin}");
    }
    text
}

/// As a file that `--config` takes. Defaults are comments, so that a later version's better ones still come through;
/// secrets are comments too, to be filled in.
#[must_use]
pub fn toml(loaded: &Loaded) -> String {
    let mut text = String::from("# gocdnext-flow: the settings in force. What is a comment is a default.\n");
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(text, "\n# {group}\n");
        }
        let origin = loaded.origin(setting.name);
        let value = (setting.get)(&loaded.config);
        let masked = if value.is_secret() { "masked; " } else { "" };
        let off = matches!(origin, Origin::Default | Origin::HostName) || value.is_secret();
        let off = if off { "# " } else { "" };
        let _ = writeln!(text, "{off}{} = {}  # {masked}{origin}", setting.name, setting.kind.toml(&value));
    }
    text.push_str("\n# librdkafka's own settings\n[kafka]\n");
    for (property, value) in &loaded.config.kafka {
        let origin = loaded.origin(&format!("kafka.{property}"));
        let quoted = toml::Value::String(value.clone());
        let _ = if is_secret(property) {
            writeln!(text, "# \"{property}\" = \"{MASK}\"  # masked; {origin}")
        } else {
            writeln!(text, "\"{property}\" = {quoted}  # {origin}")
        };
    }
    text
}
