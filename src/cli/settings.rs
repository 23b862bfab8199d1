//! Flags for settings, made from the settings table for the verbs that use them; `--config` and `--set` beside.
//!
//! Weights, growing: `--x-y VALUE`, then `--set x_y=VALUE`. What does not fit is refused without being quoted: it may hold a
//! password.

use super::Failure;
use crate::config::{
    Config,
    environment::Surroundings,
    fault::Origin,
    kind::Kind,
    load::{Loaded, load},
    read::Given,
    table::{SETTINGS, Setting},
    value::Raw,
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, builder::ValueParser, error::ErrorKind};
use std::path::PathBuf;

const HEADING: &str = "Settings";
/// Those that `-h` shows; `--help` shows all.
const COMMON: [&str; 5] = ["brokers", "topic", "listen", "workers", "state"];

/// What the flags say. `VERBS` (see [`crate::config::table::verbs`]) picks the settings that have flags.
#[derive(Clone, Debug)]
pub struct SettingFlags<const VERBS: u16> {
    file: Option<PathBuf>,
    given: Vec<Given>,
}

impl<const VERBS: u16> SettingFlags<VERBS> {
    /// All settings, from everywhere.
    pub fn load(self, around: &dyn Surroundings) -> Result<Loaded, Failure> {
        Ok(load(around, self.file, self.given)?)
    }

    /// Whether this setting stands on the command line.
    pub fn gives(&self, name: &str) -> bool {
        self.given.iter().any(|given| given.name == name)
    }

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(|setting| setting.verbs & VERBS != 0)
    }
}

impl<const VERBS: u16> Args for SettingFlags<VERBS> {
    fn augment_args(command: Command) -> Command {
        let defaults = Config { instance_id: "the host name".to_owned(), ..Config::default() };
        let command = command.arg(config_flag()).arg(set_flag());
        Self::settings().fold(command, |command, setting| command.arg(flag(setting, &defaults)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const VERBS: u16> FromArgMatches for SettingFlags<VERBS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let from_flag = |setting: &Setting| {
            matches.get_one::<String>(setting.name).map(|value| Given {
                name: setting.name.to_owned(),
                value: Raw::Text(value.clone()),
                origin: Origin::Flag(format!("--{}", setting.flag())),
            })
        };
        let mut given: Vec<_> = Self::settings().filter_map(from_flag).collect();
        for text in matches.get_many::<String>("set").into_iter().flatten() {
            given.push(key_and_value(text).map_err(|problem| clap::Error::raw(ErrorKind::ValueValidation, problem))?);
        }
        Ok(Self { file: matches.get_one::<PathBuf>("config").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn config_flag() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("PATH")
        .value_parser(ValueParser::path_buf())
        .help_heading(HEADING)
        .help("TOML file of settings [env: GOCDNEXT_FLOW_CONFIG]")
}

fn set_flag() -> Arg {
    Arg::new("set")
        .long("set")
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .help_heading(HEADING)
        .help("Any setting by its name, librdkafka's as kafka.a.b=VALUE; may be given several times")
}

fn flag(setting: &'static Setting, defaults: &Config) -> Arg {
    let default = setting.kind.show(&(setting.get)(defaults));
    let arg = Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.kind.placeholder())
        .allow_hyphen_values(true)
        .help_heading(HEADING)
        .hide_short_help(!COMMON.contains(&setting.name))
        .help(format!("{} [default: {default}]", setting.help));
    if matches!(setting.kind, Kind::Flag) {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg
    }
}

/// `--set job_ttl=24h`; `job-ttl` is understood, and `kafka."a.b"` as TOML has it; `kafka.a-b` is not touched.
fn key_and_value(text: &str) -> Result<Given, &'static str> {
    let refusal = "--set: write KEY=VALUE, as --set job_ttl=24h or --set kafka.security.protocol=SSL";
    let (key, value) = text.split_once('=').ok_or(refusal)?;
    let key = key.replace('"', "");
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(refusal);
    }
    let name = if key.starts_with("kafka.") { key.clone() } else { key.replace('-', "_") };
    Ok(Given { name, value: Raw::Text(value.to_owned()), origin: Origin::Flag(format!("--set {key}")) })
}
