//! What stands still in a fleet: its tenants, their pipelines, the pools and agents. Made once, from the seed.

use super::{
    options::FleetOptions,
    random::{Dice, MEAN_LENGTH},
};
use dataflows::time::Millis;

/// A job of a pipeline: name, stage, pool, usual duration in seconds, how often it fails.
type Template = (&'static str, u8, u8, Millis, f64);

/// A kind of pipeline: the ending of its slug, the names of its stages, its jobs in order of stage.
struct Kind {
    ending: &'static str,
    stages: &'static [&'static str],
    jobs: &'static [Template],
}

const LINUX: u8 = 0;
const LARGE: u8 = 1;
const MACOS: u8 = 2;

/// The pools, and how many jobs one agent of each runs at once.
pub const POOLS: [(&str, u8); 3] = [("linux", 4), ("linux-large", 2), ("macos", 2)];

const KINDS: [Kind; 5] = [
    Kind {
        ending: "service",
        stages: &["build", "test", "package", "deploy"],
        jobs: &[
            ("compile", 0, LARGE, 95, 0.03),
            ("lint", 1, LINUX, 25, 0.03),
            ("unit", 1, LINUX, 110, 0.05),
            ("integration", 1, LARGE, 240, 0.07),
            ("image", 2, LINUX, 70, 0.01),
            ("scan", 2, LINUX, 40, 0.02),
            ("deploy-staging", 3, LINUX, 35, 0.02),
            ("smoke", 3, LINUX, 20, 0.03),
        ],
    },
    Kind {
        ending: "library",
        stages: &["check", "publish"],
        jobs: &[
            ("fmt", 0, LINUX, 8, 0.04),
            ("lint", 0, LINUX, 30, 0.04),
            ("unit", 0, LINUX, 75, 0.05),
            ("docs", 0, LINUX, 45, 0.02),
            ("publish", 1, LINUX, 15, 0.01),
        ],
    },
    Kind {
        ending: "app",
        stages: &["build", "test", "sign"],
        jobs: &[
            ("android", 0, LARGE, 210, 0.04),
            ("ios", 0, MACOS, 260, 0.05),
            ("ui-tests", 1, MACOS, 320, 0.10),
            ("unit", 1, LINUX, 60, 0.04),
            ("sign", 2, MACOS, 25, 0.01),
        ],
    },
    Kind {
        ending: "monorepo",
        stages: &["prepare", "test", "report"],
        jobs: &[
            ("affected", 0, LINUX, 12, 0.01),
            ("shard-1", 1, LINUX, 150, 0.03),
            ("shard-2", 1, LINUX, 160, 0.03),
            ("shard-3", 1, LINUX, 145, 0.03),
            ("shard-4", 1, LINUX, 155, 0.03),
            ("shard-5", 1, LINUX, 170, 0.03),
            ("shard-6", 1, LINUX, 140, 0.03),
            ("shard-7", 1, LINUX, 165, 0.03),
            ("shard-8", 1, LINUX, 150, 0.03),
            ("end-to-end", 1, LARGE, 420, 0.08),
            ("coverage", 2, LINUX, 30, 0.01),
        ],
    },
    Kind {
        ending: "infra",
        stages: &["plan", "apply"],
        jobs: &[("validate", 0, LINUX, 10, 0.02), ("plan", 0, LINUX, 55, 0.05), ("apply", 1, LINUX, 180, 0.04)],
    },
];

const WORDS: [&str; 16] = [
    "payments",
    "checkout",
    "search",
    "catalog",
    "accounts",
    "billing",
    "gateway",
    "mail",
    "orders",
    "media",
    "reports",
    "shipping",
    "auth",
    "pricing",
    "inventory",
    "support",
];

const PROVIDERS: [&str; 4] = ["github", "gitlab", "bitbucket", "gitea"];

/// A project.
#[derive(Debug)]
pub struct Tenant {
    pub project: u128,
    /// Where its repositories are hosted.
    pub provider: &'static str,
    /// Whether its logs are archived.
    pub archives: bool,
}

/// A pipeline of a tenant.
#[derive(Debug)]
pub struct Pipeline {
    pub id: u128,
    pub tenant: usize,
    pub slug: String,
    /// In order of stage.
    pub jobs: Vec<JobPlan>,
}

/// A job of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct JobPlan {
    pub name: &'static str,
    pub stage: u8,
    pub stage_name: &'static str,
    pub pool: u8,
    pub usual_ms: Millis,
    pub failure: f64,
}

/// See the module.
#[derive(Debug)]
pub struct Plan {
    pub tenants: Vec<Tenant>,
    pub pipelines: Vec<Pipeline>,
    /// Id and pool of each agent.
    pub agents: Vec<(u128, u8)>,
    /// Mean time between two runs at an average hour.
    pub run_gap_ms: f64,
}

impl Plan {
    pub fn new(options: &FleetOptions, dice: &mut Dice) -> Self {
        let mut tenants = Vec::new();
        let mut pipelines = Vec::new();
        for number in 0..options.tenants.max(1) {
            let provider = PROVIDERS[number as usize % PROVIDERS.len()];
            tenants.push(Tenant { project: dice.id(), provider, archives: number % 4 != 3 });
            pipelines.extend((0..options.pipelines.max(1)).map(|n| pipeline(tenants.len() - 1, n, options, dice)));
        }
        let (agents, slots) = agents(&pipelines, options, dice);
        let work: f64 = (0..3).map(|pool| work_in_pool(&pipelines, pool)).sum();
        let work_of_a_run = work / pipelines.len() as f64;
        Self { tenants, pipelines, agents, run_gap_ms: work_of_a_run / (slots * options.load.max(0.01)) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "durations of minutes")]
fn pipeline(tenant: usize, number: u32, options: &FleetOptions, dice: &mut Dice) -> Pipeline {
    let kind = &KINDS[(number as usize + tenant) % KINDS.len()];
    let word = WORDS[(number as usize + tenant * 5) % WORDS.len()];
    // so that two pipelines of a tenant never share a slug, however many it has
    let round = number as usize / (KINDS.len() * WORDS.len());
    let slug = if round == 0 { format!("{word}-{}", kind.ending) } else { format!("{word}-{}-{round}", kind.ending) };
    let scale = (0.6 + 0.8 * dice.unit()) / options.speed.max(0.001);
    let job = |&(name, stage, pool, seconds, failure): &Template| JobPlan {
        name,
        stage,
        stage_name: kind.stages[usize::from(stage)],
        pool,
        usual_ms: ((seconds * 1_000) as f64 * scale) as Millis,
        failure,
    };
    Pipeline { id: dice.id(), tenant, slug, jobs: kind.jobs.iter().map(job).collect() }
}

/// Mean work of one run of each pipeline in a pool, summed, in ms of a slot.
fn work_in_pool(pipelines: &[Pipeline], pool: u8) -> f64 {
    let jobs = pipelines.iter().flat_map(|pipeline| &pipeline.jobs).filter(|job| job.pool == pool);
    jobs.map(|job| job.usual_ms as f64 * MEAN_LENGTH).sum()
}

/// Deals the agents to the pools by the work that awaits each slot there; at least one to each pool that has any.
fn agents(pipelines: &[Pipeline], options: &FleetOptions, dice: &mut Dice) -> (Vec<(u128, u8)>, f64) {
    let mut dealt = [0.0_f64; POOLS.len()];
    let mut agents = Vec::new();
    let needed = |dealt: &[f64; POOLS.len()]| {
        let load = |&pool: &u8| work_in_pool(pipelines, pool) / dealt[usize::from(pool)].max(0.001);
        (0..3_u8).max_by(|a, b| load(a).total_cmp(&load(b))).unwrap_or_default()
    };
    let unserved = |dealt: &[f64; POOLS.len()]| {
        (0..3_u8).any(|pool| dealt[usize::from(pool)] == 0.0 && work_in_pool(pipelines, pool) > 0.0)
    };
    while agents.len() < options.agents as usize || unserved(&dealt) {
        let pool = needed(&dealt);
        dealt[usize::from(pool)] += f64::from(POOLS[usize::from(pool)].1);
        agents.push((dice.id(), pool));
    }
    (agents, dealt.iter().sum())
}
