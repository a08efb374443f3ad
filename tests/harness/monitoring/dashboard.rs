//! A dashboard as Grafana reads it, as far as tests ask its queries and draw its panels.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The panels of one page.
#[derive(Clone, Debug, Deserialize)]
pub struct Dashboard {
    /// Its name.
    pub title: String,
    /// Rows and graphs, in order.
    pub panels: Vec<Panel>,
}

/// A graph, or the title of a row, which has no queries.
#[derive(Clone, Debug, Deserialize)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// Where it lies.
    #[serde(rename = "gridPos")]
    pub place: Place,
    /// What it asks.
    #[serde(default, rename = "targets")]
    pub queries: Vec<Query>,
    /// How its values are written.
    #[serde(default, rename = "fieldConfig")]
    pub fields: Fields,
}

/// In columns, of which a page has 24, and rows.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Place {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// One query of a panel.
#[derive(Clone, Debug, Deserialize)]
pub struct Query {
    /// In Prometheus' language, with `$namespace` to be filled in.
    pub expr: String,
    /// The name of each series, with `{{label}}` to be filled in.
    #[serde(default, rename = "legendFormat")]
    pub legend: String,
}

/// What holds for all values of a panel.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Fields {
    /// The same, one level down.
    #[serde(default)]
    pub defaults: Defaults,
}

/// What holds for all values of a panel.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Defaults {
    /// Grafana's name of the unit.
    #[serde(default)]
    pub unit: String,
}

impl Dashboard {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    }
}

impl Panel {
    /// The unit of its values, as Grafana names it.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.fields.defaults.unit
    }
}

impl Query {
    /// What Prometheus is asked for one namespace.
    #[must_use]
    pub fn of(&self, namespace: &str) -> String {
        self.expr.replace("$namespace", namespace)
    }

    /// The name of a series with these labels.
    #[must_use]
    pub fn name(&self, labels: &BTreeMap<String, String>) -> String {
        labels.iter().fold(self.legend.clone(), |name, (label, value)| name.replace(&format!("{{{{{label}}}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn every_graph_of_the_committed_dashboards_has_a_place_a_unit_and_named_series() -> Result<()> {
        for name in ["replication", "operator"] {
            let file = tree::root().join(format!("deploy/monitoring/dashboards/{name}.json"));
            let dashboard = Dashboard::read(&file)?;
            for panel in dashboard.panels.iter().filter(|panel| !panel.queries.is_empty()) {
                assert!(panel.place.w > 0 && panel.place.x + panel.place.w <= 24, "{panel:?}");
                assert!(
                    !panel.unit().is_empty() && panel.queries.iter().all(|query| !query.legend.is_empty()),
                    "{panel:?}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn a_series_is_named_by_its_labels() {
        let query = Query { expr: String::new(), legend: "{{name}}, {{state}}".into() };
        let labels = [("name", "db-0"), ("state", "Probe")].map(|(label, value)| (label.to_owned(), value.to_owned()));
        assert_eq!(query.name(&BTreeMap::from(labels)), "db-0, Probe");
    }
}
