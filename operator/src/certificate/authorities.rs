//! The authorities of one side of a cluster, as one Secret keeps them: the one that signs, and during a change the next
//! one or the one before.
//!
//! ```text
//!   tls.crt tls.key            the one that signs
//!   next.crt next.key          announced: trusted, signs nothing yet
//!   previous.crt               signed before; its key is gone
//!   annotation                 what they are called, when they end, for which request they were made, and since when
//!                              everybody holds what the last step published
//! ```
//!
//! Everything about a change is in this one object and is written with the version that was read: a crash leaves it
//! before or after a step, and who comes second is refused.

use super::authority::{AUTHORITY_RENEWED_BEFORE, Authority, CertificateError};
use super::secrets::{secret, text};
use crate::crd::{RaftCluster, SelfSigned, TextError};
use crate::wanted::time;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use plan::{Rotation, RotationStep, RotationWanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What stands about them, besides what certificates say themselves.
const ANNOTATION_AUTHORITIES: &str = "quorate.io/authorities";

/// The authorities of one side.
pub struct Authorities {
    active: Authority,
    /// The request that the one that signs was made for.
    generation: u32,
    other: Other,
    spread_at: Option<Timestamp>,
}

/// Who else is trusted.
enum Other {
    Nobody,
    Next { authority: Box<Authority>, generation: u32 },
    Previous { certificate: String, facts: Facts },
}

impl Other {
    fn again(&self) -> Result<Self, CertificateError> {
        Ok(match self {
            Self::Nobody => Self::Nobody,
            Self::Next { authority, generation } => {
                Self::Next { authority: Box::new(authority.again()?), generation: *generation }
            }
            Self::Previous { certificate, facts } => {
                Self::Previous { certificate: certificate.clone(), facts: facts.clone() }
            }
        })
    }
}

/// What is written of all of them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    active: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Facts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Facts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spread_at: Option<Timestamp>,
}

/// What is written of one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    #[serde(default)]
    generation: u32,
}

impl Facts {
    fn of(authority: &Authority, generation: u32) -> Self {
        Self { name: authority.name().to_owned(), not_after: authority.ends(), generation }
    }
}

/// What is asked of the authorities of a side.
///
/// # Errors
/// The overlap does not read.
pub(super) fn rotation_wanted(asked: &SelfSigned, overlap: Duration) -> Result<RotationWanted, TextError> {
    let overlap = asked.overlap.as_ref().map_or(Ok(overlap), crate::crd::DurationText::get)?;
    Ok(RotationWanted { generation: asked.generation, renewed_before: AUTHORITY_RENEWED_BEFORE, overlap })
}

impl Authorities {
    /// The first one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn first(name: &str, generation: u32, now: Timestamp) -> Result<Self, CertificateError> {
        let active = Authority::generate(name, now)?;
        Ok(Self { active, generation, other: Other::Nobody, spread_at: None })
    }

    /// From their Secret. One that was made before changes were recorded has one authority, whose end nobody knows.
    ///
    /// # Errors
    /// It holds none, or what does not go together; in words.
    pub fn read(name: &str, secret: &Secret) -> Result<Self, String> {
        let annotation = secret.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION_AUTHORITIES));
        let record: Record = match annotation {
            None => {
                let active = Facts { name: name.to_owned(), not_after: None, generation: 0 };
                Record { active, next: None, previous: None, spread_at: None }
            }
            Some(text) => serde_json::from_str(text).map_err(|error| format!("{ANNOTATION_AUTHORITIES}: {error}"))?,
        };
        let get =
            |key: &str| text(secret, key).ok_or_else(|| format!("it has no {key}; delete it to have another made"));
        let read = |facts: &Facts, side: &str| {
            let (certificate, key) = (get(&format!("{side}.crt"))?, get(&format!("{side}.key"))?);
            Authority::read(&facts.name, &certificate, &key, facts.not_after)
                .map_err(|error| format!("{side}: {error}"))
        };
        let active = read(&record.active, "tls")?;
        let other = match (record.next, record.previous) {
            (None, None) => Other::Nobody,
            (Some(facts), None) => {
                Other::Next { authority: Box::new(read(&facts, "next")?), generation: facts.generation }
            }
            (None, Some(facts)) => Other::Previous { certificate: get("previous.crt")?, facts },
            (Some(_), Some(_)) => return Err(format!("{ANNOTATION_AUTHORITIES} names a next one and a previous one")),
        };
        Ok(Self { active, generation: record.active.generation, other, spread_at: record.spread_at })
    }

    /// The one that signs.
    #[must_use]
    pub fn active(&self) -> &Authority {
        &self.active
    }

    /// Everybody that is to be trusted, as PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        let other = match &self.other {
            Other::Nobody => "",
            Other::Next { authority, .. } => authority.certificate(),
            Other::Previous { certificate, .. } => certificate,
        };
        format!("{}{other}", self.active.certificate())
    }

    /// In the words of the plan.
    #[must_use]
    pub fn planned(&self) -> plan::Authority {
        let spread = self.spread_at.map(time);
        plan::Authority {
            ends: self.active.ends().map(time),
            generation: self.generation,
            rotation: match &self.other {
                Other::Nobody => Rotation::Settled,
                Other::Next { .. } => Rotation::Announced { spread },
                Other::Previous { .. } => Rotation::Succeeded { spread },
            },
        }
    }

    /// Since when everybody has held what the last step published.
    #[must_use]
    pub fn spread_at(&self) -> Option<Timestamp> {
        self.spread_at
    }

    /// After a step of a change. One that does not fit changes nothing.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn after(
        &self,
        step: RotationStep,
        name: &str,
        generation: u32,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let same = || self.active.again().map(|active| (active, self.generation));
        let ((active, generation), other, spread_at) = match (step, &self.other) {
            (RotationStep::Announce, Other::Nobody) => {
                (same()?, Other::Next { authority: Box::new(Authority::generate(name, now)?), generation }, None)
            }
            (RotationStep::HandOver, Other::Next { authority, generation }) => {
                let facts = Facts::of(&self.active, self.generation);
                let other = Other::Previous { certificate: self.active.certificate().to_owned(), facts };
                ((authority.again()?, *generation), other, None)
            }
            (RotationStep::Retire, Other::Previous { .. }) => (same()?, Other::Nobody, None),
            (RotationStep::Mark, other) => (same()?, other.again()?, Some(now)),
            (_, other) => (same()?, other.again()?, self.spread_at),
        };
        Ok(Self { active, generation, other, spread_at })
    }

    /// As a Secret.
    #[must_use]
    pub fn to_secret(&self, cluster: &RaftCluster, name: &str) -> Secret {
        let mut made = secret(cluster, name, "kubernetes.io/tls", self.data());
        made.metadata.annotations = Some([(ANNOTATION_AUTHORITIES.to_owned(), self.record())].into());
        made
    }

    /// What makes the Secret of this version hold them and nothing else.
    ///
    /// # Errors
    /// It does not serialize.
    pub fn to_patch(
        &self,
        cluster: &RaftCluster,
        name: &str,
        version: Option<&str>,
    ) -> Result<Value, serde_json::Error> {
        let made = serde_json::to_value(self.to_secret(cluster, name))?;
        let mut data = json!({ "next.crt": null, "next.key": null, "previous.crt": null });
        for (key, value) in made["data"].as_object().into_iter().flatten() {
            data[key] = value.clone();
        }
        let annotations = &made["metadata"]["annotations"];
        Ok(json!({ "metadata": { "resourceVersion": version, "annotations": annotations }, "data": data }))
    }

    fn data(&self) -> Vec<(&'static str, String)> {
        let mut data = vec![("tls.crt", self.active.certificate().to_owned()), ("tls.key", self.active.key())];
        match &self.other {
            Other::Nobody => {}
            Other::Next { authority, .. } => {
                data.extend([("next.crt", authority.certificate().to_owned()), ("next.key", authority.key())]);
            }
            Other::Previous { certificate, .. } => data.push(("previous.crt", certificate.clone())),
        }
        data
    }

    fn record(&self) -> String {
        let (next, previous) = match &self.other {
            Other::Nobody => (None, None),
            Other::Next { authority, generation } => (Some(Facts::of(authority, *generation)), None),
            Other::Previous { facts, .. } => (None, Some(facts.clone())),
        };
        let active = Facts::of(&self.active, self.generation);
        let record = Record { active, next, previous, spread_at: self.spread_at };
        serde_json::to_string(&record).expect("names, times and numbers print")
    }
}
