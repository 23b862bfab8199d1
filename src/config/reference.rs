//! docs/configuration.md, written from the table; a test holds the file equal to it.

use super::{
    Config,
    table::{SETTINGS, verbs},
};
use std::fmt::Write as _;

const HEAD: &str = "\
# Configuration

<!-- Written from src/config/table.rs by `UPDATE_DOCS=1 cargo test --lib configuration_reference`. Do not edit. -->

Every setting has one name and four places, of growing weight:

1. its default, below;
2. the TOML file that `--config PATH` or `GOCDNEXT_FLOW_CONFIG` names: `job_ttl = \"24h\"`;
3. the environment: `GOCDNEXT_FLOW_JOB_TTL=24h`;
4. the command line: `--job-ttl 24h`, or `--set job_ttl=24h`, which is the weightiest.

`gocdnext-flow config show` prints each with its value and where it comes from; `--format toml` prints a file to
start from. A setting that is wrong or unknown is refused with its place, and the program exits with 2.

Durations need a unit: `250ms`, `90s`, `5m`, `1h30m`, `24h`, `14d`, `2w`. Sizes may have one: `4096`, `64KiB`,
`64MiB`, `1GB`. Lists are TOML arrays, or separated by commas elsewhere.

librdkafka's own settings go through by name: its `security.protocol` is `kafka.\"security.protocol\"` in TOML,
`GOCDNEXT_FLOW_KAFKA_SECURITY_PROTOCOL` in the environment, `--set kafka.security.protocol=...` on the command line.
Passwords and other secrets are never printed; give them by a variable rather than by a flag, which `ps` shows.
";

/// The whole page.
#[must_use]
pub fn page() -> String {
    let defaults = Config { instance_id: "the host name".to_owned(), ..Config::default() };
    let mut text = HEAD.to_owned();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(
                text,
                "\n## {group}\n\n| setting | default | allowed | used by | what it is |\n|---|---|---|---|---|\n"
            );
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            setting.name,
            setting.kind.show(&(setting.get)(&defaults)).replace(',', ", "),
            setting.kind.allowed(),
            verbs::names(setting.verbs),
            setting.help,
        );
    }
    text
}
