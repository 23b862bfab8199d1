//! The second stage: from what was written to valid settings, each with its origin, or to all that is wrong.
//!
//! Weights, growing: default, TOML file, environment, flags. Every value given is checked, also one that a weightier
//! one hides: a wrong line in a file should not wait for the day its flag is dropped.

use super::{
    Config, checks,
    environment::{self, CONFIG_VARIABLE, Surroundings},
    fault::{ConfigError, Fault, Origin},
    grammar::{Refusal, nearest},
    kafka,
    kind::Kind,
    read::{self, Given},
    table::{SETTINGS, Setting},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Valid settings.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Where each comes from that is not a default, by name (`kafka.a.b` for librdkafka's).
    pub origins: BTreeMap<String, Origin>,
}

impl Loaded {
    #[must_use]
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }
}

/// Reads everything and merges it. `file` is what `--config` names; `flags` go from the lightest to the weightiest.
pub fn load(around: &dyn Surroundings, file: Option<PathBuf>, flags: Vec<Given>) -> Result<Loaded, ConfigError> {
    let variables = around.variables();
    let from_variable = || {
        let named = variables.iter().find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty());
        named.map(|(_, path)| (PathBuf::from(path), Origin::Variable(CONFIG_VARIABLE.to_owned())))
    };
    let file = file.map(|path| (path, Origin::Flag("--config".to_owned()))).or_else(from_variable);
    let mut given = Vec::new();
    if let Some((path, origin)) = file {
        given = from_file(around, &path, origin).map_err(|fault| ConfigError(vec![fault]))?;
    }
    given.extend(environment::given(variables));
    given.extend(flags);
    merge(around, given)
}

fn from_file(around: &dyn Surroundings, path: &Path, origin: Origin) -> Result<Vec<Given>, Fault> {
    let text = around.read(path).map_err(|error| Fault {
        origin,
        problem: format!("cannot read the file `{}`: {error}", path.display()),
        allowed: None,
        suggestion: None,
    })?;
    let mut given = read::toml_text(path, &text)?;
    given.sort_by_key(|given| match given.origin {
        Origin::File { line, column, .. } => (line, column),
        _ => (0, 0),
    });
    Ok(given)
}

fn merge(around: &dyn Surroundings, given: Vec<Given>) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded { config: Config::default(), origins: BTreeMap::new() };
    loaded.config.instance_id = around.host_name();
    loaded.origins.insert("instance_id".to_owned(), Origin::HostName);
    let mut faults = Vec::new();
    for given in given {
        if let Err(fault) = apply(&mut loaded, given) {
            faults.push(fault);
        }
    }
    if faults.is_empty() {
        faults = checks::check(&loaded);
    }
    if faults.is_empty() { Ok(loaded) } else { Err(ConfigError(faults)) }
}

fn apply(loaded: &mut Loaded, given: Given) -> Result<(), Fault> {
    if let Some(property) = given.name.strip_prefix("kafka.") {
        let value = kafka::property(property, &given)?;
        loaded.config.kafka.insert(property.to_owned(), value);
    } else {
        let setting = Setting::find(&given.name).ok_or_else(|| unknown(&given))?;
        let value = setting.kind.read(&given.value).map_err(|refusal| refused(setting, &given, refusal))?;
        if !(setting.set)(&mut loaded.config, &value) {
            return Err(Fault {
                origin: given.origin,
                problem: format!("`{}` is out of range on this machine", setting.name),
                allowed: Some(setting.kind.allowed()),
                suggestion: None,
            });
        }
    }
    loaded.origins.insert(given.name, given.origin);
    Ok(())
}

/// Addresses are refused without being quoted ([`crate::store::StateUrl`]); where one stands in a wrong place, so is the rest.
fn refused(setting: &Setting, given: &Given, refusal: Refusal) -> Fault {
    let hidden = given.value.may_hold_password() && !matches!(setting.kind, Kind::State | Kind::OptionalState);
    let problem =
        if hidden { "its value is not shown, for it may hold a password" } else { refusal.problem.as_str() };
    Fault {
        origin: given.origin.clone(),
        problem: format!("`{}` is wrong: {problem}", setting.name),
        allowed: Some(setting.kind.allowed()),
        suggestion: refusal.suggestion.filter(|_| !hidden),
    }
}

/// What was perhaps meant is written as the place wants it: variables in capitals, keys with `_`.
fn unknown(given: &Given) -> Fault {
    let (problem, suggestion) = if let Origin::Variable(variable) = &given.origin {
        let known: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
        let suggestion = nearest(variable, known.iter().map(String::as_str)).map(str::to_owned);
        ("there is no such variable".to_owned(), suggestion)
    } else {
        let key = given.name.replace('-', "_");
        let suggestion = nearest(&key, SETTINGS.iter().map(|setting| setting.name)).map(str::to_owned);
        (format!("there is no setting `{}`", given.name), suggestion)
    };
    let allowed = Some("the settings that `gocdnext-flow config show` lists".to_owned());
    Fault { origin: given.origin.clone(), problem, allowed, suggestion }
}
