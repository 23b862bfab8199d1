//! `retention policy`: for how long logs are kept, and whether they are archived first.

use super::consent::{Change, consent};
use crate::{
    cli::{
        Failure,
        out::{Format, print},
        settings::SettingFlags,
        state::columns,
    },
    config::{environment::Surroundings, table::verbs},
    store::{Options, Store},
    upkeep,
    wiring::RunError,
};
use clap::{Args, Subcommand, ValueEnum};
use dataflows::retention::{Policies, Policy};
use std::io::Write;
use uuid::Uuid;

const EXAMPLES: &str = "\
Examples:
  gocdnext-flow retention policy set --days 90 --archive on
  gocdnext-flow retention policy set --project 5b0c1f0e-7f64-4c57-9f0a-5d0a3c6a1b01 --days 365 --archive on
  gocdnext-flow retention policy list

A running pipeline takes it up within seconds. A partition holds the lines of all projects, so
it is kept for the longest time that any policy says; without a default policy nothing is
dropped. Where much falls due at once, which may be a slip of the unit, it says what would be
dropped and asks; scripts say --yes.";

/// For how long logs are kept, and whether they are archived
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    Set(Set),
    List(List),
    Remove(Remove),
}

impl PolicyVerb {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Set(verb) => verb.start(around, out),
            Self::List(verb) => verb.start(around, out),
            Self::Remove(verb) => verb.start(around, out),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Set the policy of one project, or the default of all others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Set {
    /// The project's id; without it the default is set
    #[arg(long, value_name = "UUID")]
    project: Option<Uuid>,
    /// How many days a partition's lines are kept after the partition's end
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    days: u32,
    /// Whether each job's log must be archived before it may go
    #[arg(long, value_enum)]
    archive: Switch,
    /// Do not ask, whatever falls due by it at once
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl Set {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let policy = Policy { log_retention_days: self.days, archive: self.archive == Switch::On };
        let project = self.project.map(|project| project.as_u128());
        upkeep::wait(async {
            if !self.yes {
                consent(&config, Change { project, policy: Some(policy) }).await?;
            }
            let store = Store::open(&config.state).await.map_err(RunError::from)?;
            Ok::<_, Failure>(store.set_policy(project, policy).await.map_err(RunError::from)?)
        })?;
        print(out, &columns([(&*named(project), told(policy))]))
    }
}

/// Print all policies
#[derive(Debug, Args)]
pub struct List {
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl List {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let policies = upkeep::wait(async {
            let store = Store::open_with(&config.state, Options::look_only()).await?;
            Ok::<_, RunError>(store.policies().await?)
        })?;
        let text = match self.format {
            Format::Table => table(&policies),
            Format::Json => json(&policies) + "\n",
        };
        print(out, &text)
    }
}

/// Remove the policy of one project, or the default
#[derive(Debug, Args)]
pub struct Remove {
    /// The project's id; without it the default is removed, and then nothing is dropped
    #[arg(long, value_name = "UUID")]
    project: Option<Uuid>,
    /// Do not ask, whatever falls due by it at once
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingFlags<{ verbs::RETENTION }>,
}

impl Remove {
    pub fn start(self, around: &dyn Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.settings.load(around)?.config;
        let project = self.project.map(|project| project.as_u128());
        let removed = upkeep::wait(async {
            if !self.yes {
                consent(&config, Change { project, policy: None }).await?;
            }
            let store = Store::open(&config.state).await.map_err(RunError::from)?;
            Ok::<_, Failure>(store.remove_policy(project).await.map_err(RunError::from)?)
        })?;
        if removed {
            return print(out, &format!("removed the policy of {}\n", named(project)));
        }
        Err(Failure::Misuse(format!(
            "there is no policy of {}; `gocdnext-flow retention policy list` shows those there are",
            named(project)
        )))
    }
}

fn named(project: Option<u128>) -> String {
    project.map_or_else(|| "default".to_owned(), |project| format!("project {}", Uuid::from_u128(project)))
}

fn told(policy: Policy) -> String {
    let Policy { log_retention_days: days, archive } = policy;
    let archive = if archive { "archived first" } else { "not archived" };
    format!("{days} days, {archive}")
}

fn table(policies: &Policies) -> String {
    let default = policies.default.map_or_else(|| "none: nothing is dropped".to_owned(), told);
    let rows =
        policies.projects.iter().map(|(project, policy)| (Uuid::from_u128(*project).to_string(), told(*policy)));
    let rows = std::iter::once(("default".to_owned(), default)).chain(rows);
    rows.map(|(who, policy)| format!("{who:<36}  {policy}\n")).collect()
}

fn json(policies: &Policies) -> String {
    let one = |policy: Policy| serde_json::json!({ "log_retention_days": policy.log_retention_days, "archive": policy.archive });
    let projects: serde_json::Map<_, _> = policies
        .projects
        .iter()
        .map(|(project, policy)| (Uuid::from_u128(*project).to_string(), one(*policy)))
        .collect();
    serde_json::json!({ "default": policies.default.map(one), "projects": projects }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_told_to_people_and_to_scripts() {
        let policy = |log_retention_days, archive| Policy { log_retention_days, archive };
        let none = Policies::default();
        assert!(table(&none).contains("none: nothing is dropped"));
        assert_eq!(json(&none), r#"{"default":null,"projects":{}}"#);
        let some = Policies { default: Some(policy(30, true)), projects: [(1, policy(90, false))].into() };
        assert!(table(&some).contains("00000000-0000-0000-0000-000000000001  90 days, not archived"));
        let written: serde_json::Value = serde_json::from_str(&json(&some)).unwrap();
        assert_eq!(written["projects"]["00000000-0000-0000-0000-000000000001"]["log_retention_days"], 90);
    }
}
