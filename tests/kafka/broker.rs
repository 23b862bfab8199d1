//! A real Apache Kafka: one node from its jars, on random ports, in a directory of its own, killed when dropped.
//!
//! Needs Java, and Maven for the first time (Debian: `default-jre-headless maven`). The jars are kept in `.cache/kafka`,
//! or where `KAFKA_JARS` points. Without them a test says SKIPPED on standard error and passes.

use super::{PATIENCE, eventually, free_port, leash::Leash};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Starting and stopping take seconds, on a busy machine many.
const START_WITHIN: Duration = Duration::from_secs(120);

pub struct Broker {
    dir: TempDir,
    jars: PathBuf,
    port: u16,
    secured: Option<Ports>,
    child: Option<(Child, Leash)>,
}

/// Those of the listeners with TLS.
#[derive(Clone, Copy)]
struct Ports {
    password: u16,
    certificate: u16,
}

/// The user of the listener with passwords.
pub const USER: &str = "flow";

static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());

/// The broker that tests share which do not stop it; each has topics of its own. `None`: SKIPPED.
pub fn shared() -> Option<Arc<Broker>> {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(broker) = shared.upgrade() {
        return Some(broker);
    }
    let broker = Arc::new(Broker::start()?);
    *shared = Arc::downgrade(&broker);
    Some(broker)
}

impl Broker {
    /// A broker of one's own. `None`: SKIPPED.
    pub fn start() -> Option<Self> {
        Some(Self::of(jars()?, None))
    }

    /// As [`Broker::start`], with the listeners of `secured.properties` too; certificates lie in the folder.
    pub fn start_secured(certificates: &Path, password: &str) -> Option<Self> {
        Some(Self::of(jars()?, Some((certificates, password))))
    }

    fn of(jars: PathBuf, secured: Option<(&Path, &str)>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (port, controller_port) = (free_port(), free_port());
        let read = |file| fs::read_to_string(format!("{ROOT}/tests/kafka/{file}")).expect("the settings");
        let mut settings = read("server.properties");
        // any 16 bytes in base64
        let mut format: Vec<String> =
            ["format", "--standalone", "-t", "Z29jZG5leHQtdGVzdHMtMQ"].map(str::to_owned).to_vec();
        let ports = secured.map(|(certificates, password)| {
            let ports = Ports { password: free_port(), certificate: free_port() };
            settings = (settings.clone() + &read("secured.properties"))
                .replace("{password_port}", &ports.password.to_string())
                .replace("{certificate_port}", &ports.certificate.to_string())
                .replace("{certificates}", &certificates.to_string_lossy());
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                format.extend(["-S".to_owned(), format!("{mechanism}=[name={USER},password={password}]")]);
            }
            ports
        });
        let settings = settings
            .replace("{port}", &port.to_string())
            .replace("{controller_port}", &controller_port.to_string())
            .replace("{dir}", &dir.path().join("data").to_string_lossy());
        fs::write(dir.path().join("server.properties"), settings).expect("its settings are written");
        let mut broker = Self { dir, jars, port, secured: ports, child: None };
        format.push("-c".to_owned());
        let format: Vec<&str> = format.iter().map(String::as_str).collect();
        let formatted = broker.java("kafka.tools.StorageTool", &format).status().expect("java runs");
        assert!(formatted.success(), "the storage is not formatted: {}", broker.log());
        broker.restart();
        broker
    }

    /// A command that runs a class of Kafka's with the settings as its last argument.
    fn java(&self, class: &str, arguments: &[&str]) -> Command {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).expect("a log");
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(self.jars.join("*")).arg(class).args(arguments).arg(self.dir.path().join("server.properties"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Starts it again with the same data and the same port.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let child = self.java("kafka.Kafka", &[]).spawn().expect("java runs");
        let leash = Leash::on(child.id());
        self.child = Some((child, leash));
        let consumer: BaseConsumer = self.settings().create().expect("a client");
        let start = std::time::Instant::now();
        loop {
            if consumer.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|m| !m.brokers().is_empty()) {
                return;
            }
            let ended =
                self.child.as_mut().is_none_or(|(child, _)| child.try_wait().is_ok_and(|status| status.is_some()));
            assert!(!ended, "the broker has ended: {}", self.log());
            assert!(start.elapsed() < START_WITHIN, "the broker does not answer: {}", self.log());
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some((mut child, _leash)) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where users with a password come in, by TLS.
    pub fn password_address(&self) -> String {
        format!("127.0.0.1:{}", self.secured.expect("it is secured").password)
    }

    /// Where who has a certificate comes in.
    pub fn certificate_address(&self) -> String {
        format!("127.0.0.1:{}", self.secured.expect("it is secured").certificate)
    }

    fn settings(&self) -> ClientConfig {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", self.address());
        settings
    }

    fn admin<T>(&self, ask: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> T) -> T {
        let admin = self.settings().create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        Runtime::new().expect("a runtime").block_on(ask(&admin, &options))
    }

    /// Makes a topic and waits until it is there.
    pub fn topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        self.try_topic(name, partitions, settings).expect("the topic is made");
    }

    /// As [`Broker::topic`]; the error is the broker's, as while a topic of that name is being deleted.
    pub fn try_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<(), RDKafkaErrorCode> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let made = self.admin(async |admin, options| admin.create_topics([&topic], options).await);
        made.expect("an answer").remove(0).map_err(|(_, code)| code)?;
        let consumer: BaseConsumer = self.settings().create().expect("a client");
        eventually("the topic has leaders", || {
            let metadata = consumer.fetch_metadata(Some(name), Duration::from_secs(5)).ok()?;
            let leads = |topic: &rdkafka::metadata::MetadataTopic| {
                !topic.partitions().is_empty() && topic.partitions().iter().all(|p| p.leader() >= 0)
            };
            metadata.topics().iter().all(leads).then_some(())
        });
        Ok(())
    }

    pub fn delete_topic(&self, name: &str) {
        let deleted = self.admin(async |admin, options| admin.delete_topics(&[name], options).await);
        deleted.expect("an answer").remove(0).expect("the topic is deleted");
    }

    /// Deletes a partition's records before an offset, as its retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let deleted = self.admin(async |admin, options| admin.delete_records(&list, options).await);
        deleted.expect("an answer").elements()[0].error().expect("the records are deleted");
    }

    /// Gives a topic this setting alone.
    pub fn configure(&self, topic: &str, name: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let made = self.admin(async |admin, options| admin.alter_configs(&[change], options).await);
        made.expect("an answer").remove(0).expect("the topic is configured");
    }

    /// Raises the number of partitions.
    pub fn partitions(&self, topic: &str, count: usize) {
        let more = NewPartitions::new(topic, count);
        let made = self.admin(async |admin, options| admin.create_partitions([&more], options).await);
        made.expect("an answer").remove(0).expect("the partitions are made");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn runs(program: &str, argument: &str) -> bool {
    let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Kafka's jars, fetched once: two Mavens at a time would write into each other's files.
fn jars() -> Option<PathBuf> {
    static FETCHING: Mutex<()> = Mutex::new(());
    let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let given = std::env::var_os("KAFKA_JARS").map(PathBuf::from);
    let jars = given.unwrap_or_else(|| Path::new(ROOT).join(".cache/kafka"));
    let whole = jars.join(".complete");
    if !runs("java", "-version") {
        return skipped("java");
    }
    if !whole.exists() {
        if !runs("mvn", "-version") {
            return skipped("mvn");
        }
        let goal =
            ["-q", "-B", "-f", "tests/kafka/pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime"];
        let mut maven = Command::new("mvn");
        maven.current_dir(ROOT).args(goal).arg(format!("-DoutputDirectory={}", jars.display()));
        assert!(maven.status().expect("mvn runs").success(), "Kafka's jars were not fetched");
        // only a whole copy is kept
        File::create(whole).expect("the mark");
    }
    Some(jars)
}

/// Past the capture of test output: a test that shows nothing must say so.
fn skipped(program: &str) -> Option<PathBuf> {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("SKIPPED {test}: there is no `{program}`; Debian: apt install default-jre-headless maven\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
    None
}
