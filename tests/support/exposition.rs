//! What `/metrics` says, read back: the samples of the text format by series, each with its family.
//!
//! The text is this program's own, so labels stand in one order and a series is known by its text.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One series' value and what it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub family: String,
    pub kind: Kind,
    pub value: f64,
}

impl Sample {
    /// Whether it may only grow.
    pub fn accumulates(&self) -> bool {
        self.kind != Kind::Gauge
    }
}

/// A scrape's samples by series: name and labels as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition(pub BTreeMap<String, Sample>);

impl Exposition {
    pub fn parse(text: &str) -> Result<Self> {
        let mut samples = BTreeMap::new();
        let mut family: Option<(&str, Kind)> = None;
        for line in text.lines() {
            if let Some(header) = line.strip_prefix("# TYPE ") {
                family = Some(header_of(header).with_context(|| format!("in `{line}`"))?);
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').with_context(|| format!("no value in `{line}`"))?;
                let (name, kind) = family
                    .filter(|(name, _)| series.starts_with(name))
                    .with_context(|| format!("`{line}` stands under another family's header"))?;
                let value = value.parse().with_context(|| format!("no number in `{line}`"))?;
                let sample = Sample { family: name.to_owned(), kind, value };
                ensure!(samples.insert(series.to_owned(), sample).is_none(), "{series} is there twice");
            }
        }
        Ok(Self(samples))
    }

    /// The value of a series.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.0.get(series).map(|sample| sample.value)
    }

    /// The sum over a family's series; `None` where there is none.
    pub fn sum(&self, family: &str) -> Option<f64> {
        let values: Vec<f64> = self.of(family).map(|(_, sample)| sample.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The series of a family.
    pub fn of(&self, family: &str) -> impl Iterator<Item = (&String, &Sample)> {
        self.0.iter().filter(move |(_, sample)| sample.family == family)
    }

    /// The series that are a function of the log, and that a user sees (I1).
    pub fn of_the_log(&self) -> impl Iterator<Item = (&String, &Sample)> {
        self.0.iter().filter(|(series, _)| series.starts_with("gocdnext_") && !series.starts_with("gocdnext_flow_"))
    }

    /// Whether dataflow series are shown.
    pub fn shows_series(&self) -> bool {
        self.of_the_log().next().is_some()
    }

    /// A gauge of whole numbers.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "epochs are ms since 1970")]
    pub fn epoch(&self) -> Option<u64> {
        self.value("gocdnext_flow_committed_epoch").map(|epoch| epoch as u64)
    }
}

fn header_of(header: &str) -> Result<(&str, Kind)> {
    let (name, kind) = header.split_once(' ').context("no type")?;
    let kind = match kind {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        other => bail!("unknown type {other}"),
    };
    Ok((name, kind))
}
