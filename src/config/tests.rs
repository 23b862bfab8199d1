//! The loader as a whole: order of weight, refusals word by word, `config show`.

use super::{
    environment::Surroundings,
    fault::Origin,
    load::{Loaded, load},
    read::Given,
    reference, show,
    value::Raw,
};
use std::{io, path::Path, time::Duration};

#[derive(Default)]
struct Around {
    variables: Vec<(String, String)>,
    file: Option<&'static str>,
}

impl Surroundings for Around {
    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn read(&self, _path: &Path) -> io::Result<String> {
        self.file.map(str::to_owned).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn host_name(&self) -> String {
        "ci-host".to_owned()
    }
}

fn given(file: Option<&'static str>, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, String> {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let flags = flags.iter().map(|(name, value)| Given {
        name: name.replace('-', "_"),
        value: Raw::Text((*value).to_owned()),
        origin: Origin::Flag(format!("--{name}")),
    });
    let path = file.map(|_| Path::new("flow.toml").to_owned());
    load(&Around { variables, file }, path, flags.collect()).map_err(|error| error.to_string())
}

#[test]
fn weight_grows_from_default_to_file_to_environment_to_flag() {
    let file = Some("workers = 2\njob_ttl = \"2h\"\nlate_grace = \"90s\"");
    let env = [("GOCDNEXT_FLOW_WORKERS", "3"), ("GOCDNEXT_FLOW_JOB_TTL", "3h")];
    let loaded = given(file, &env, &[("workers", "4")]).unwrap();
    assert_eq!(loaded.config.workers, 4);
    assert_eq!(loaded.config.dataflow.job_ttl_ms, 3 * 3_600_000);
    assert_eq!(loaded.config.dataflow.late_grace_ms, 90_000);
    assert_eq!(loaded.config.epoch_interval, Duration::from_secs(1));
    let origins = ["workers", "job_ttl", "late_grace", "epoch_interval"].map(|name| loaded.origin(name).to_string());
    assert_eq!(origins, ["flag --workers", "env GOCDNEXT_FLOW_JOB_TTL", "flow.toml:3", "default"]);
}

#[test]
fn wrong_settings_in_a_file() {
    let file = "\
job_tll = \"24h\"
job_ttl = 24
late_grace = \"5 parsecs\"
workers = 0
topic = 5
listen = \"localhost:8153\"
clock = \"wal\"
log_level = \"inof\"
max_event_bytes = \"1PB\"
duration_buckets = [\"1s\", \"5s\", \"5s\"]
queue_buckets = [1, 5]
webhook_providers = [\"github\", \"other\"]
force_text_format = \"ture\"
agent_ttl = 2026-01-01
brokers = \"kafka:99999\"
state = [\"postgres://flow:hunter2@db/state\"]
lease_ttl = \"1s\"

[kafka]
\"bootstrap.servers\" = \"x:9092\"
\"isolation.level\" = \"read_uncommitted\"
\"acks\" = 1
\"Security.Protocol\" = \"SSL\"
\"sasl.password\" = [\"hunter2\"]
";
    insta::assert_snapshot!(given(Some(file), &[], &[]).unwrap_err());
}

#[test]
fn wrong_settings_in_the_environment_and_in_flags() {
    let env =
        [("GOCDNEXT_FLOW_JOB_TLL", "24h"), ("GOCDNEXT_FLOW_KAFKA_GROUP_ID", "x"), ("GOCDNEXT_FLOW_LOG_BURST", "")];
    insta::assert_snapshot!(given(None, &env, &[("workers", "two"), ("worker", "2")]).unwrap_err());
}

#[test]
fn a_wrong_address_of_the_state_is_refused_without_its_password() {
    let wrong = ["flow.db", "mysql://flow:hunter2@db/state", "postgres://flow:hun#ter2@db/state"];
    let mut faults = wrong.map(|text| given(None, &[], &[("state", text)]).unwrap_err()).join("\n");
    faults.push('\n');
    faults += &given(None, &[("GOCDNEXT_FLOW_STATE", "postgres://flow@db/state?passwort=hunter2")], &[]).unwrap_err();
    insta::assert_snapshot!(faults);
}

#[test]
fn settings_that_do_not_fit_together() {
    let file = "dedup_window = \"5s\"\nmax_commit_age = \"1s\"\ndead_letter_topic = \"gocdnext.events\"";
    insta::assert_snapshot!(given(Some(file), &[], &[]).unwrap_err());
}

#[test]
fn a_file_that_is_no_toml_or_is_absent() {
    insta::assert_snapshot!("not_toml", given(Some("workers = 2\njob_ttl = = 3\n"), &[], &[]).unwrap_err());
    let absent = given(None, &[("GOCDNEXT_FLOW_CONFIG", "/etc/flow.toml")], &[]).unwrap_err();
    insta::assert_snapshot!("file_absent", absent);
}

fn example() -> Loaded {
    let file = Some(
        "workers = 2\nstate = \"postgres://flow:hunter2@db:5432/state\"\nqueue_buckets = [\"1s\", \"2500ms\"]\n[kafka]\n\"sasl.username\" = \"flow\"\n\"ssl.key.password\" = \"hunter2\"",
    );
    let env = [("GOCDNEXT_FLOW_KAFKA_SASL_PASSWORD", "hunter2"), ("GOCDNEXT_FLOW_JOB_TTL", "10000d")];
    given(file, &env, &[("listen", "127.0.0.1:0")]).unwrap()
}

#[test]
fn config_show_tells_value_and_origin_and_no_secret() {
    let loaded = example();
    insta::assert_snapshot!("show_table", show::table(&loaded));
    insta::assert_snapshot!("show_toml", show::toml(&loaded));
    let all = format!("{}{}{:?}", show::table(&loaded), show::toml(&loaded), loaded.config);
    assert!(!all.contains("hunter2"));
}

#[test]
fn the_toml_shown_reads_back_to_the_same_settings() {
    let shown = show::toml(&example());
    let around = Around { variables: vec![], file: Some(shown.leak()) };
    let again = load(&around, Some("again.toml".into()), vec![]).unwrap();
    let mut expected = example().config;
    expected.state = super::Config::default().state;
    expected.kafka.retain(|name, _| !super::kafka::is_secret(name));
    assert_eq!(format!("{:?}", again.config), format!("{expected:?}"));
}

/// `UPDATE_DOCS=1` rewrites the page.
#[test]
fn configuration_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = reference::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/configuration.md is old: UPDATE_DOCS=1 cargo test --lib configuration_reference");
}
