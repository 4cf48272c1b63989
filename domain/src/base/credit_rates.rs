//! What usage costs, in credits (R70). One credit is one US dollar.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use crate::base::text_enum::text_enum;
use crate::base::{decimal, limits};

text_enum! {
    /// What is metered.
    UsageKind {
        /// Hours of one CPU.
        CpuHours = "cpu_hours",
        /// Hours of one GiB (2^30 bytes) of memory.
        MemoryGibHours = "memory_gib_hours",
        /// Months of one GB (10^9 bytes) of storage.
        StorageGbMonths = "storage_gb_months",
        /// GB (10^9 bytes) that left over the network.
        NetworkGb = "network_gb",
    }
}

/// How many credits each kind of usage costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditRates {
    cpu_hour: Decimal,
    memory_gib_hour: Decimal,
    storage_gb_month: Decimal,
    /// For regions without a rate of their own, and for usage that names no region.
    network_gb: Decimal,
    network_gb_of_region: BTreeMap<String, Decimal>,
}

/// The rates of R70. Network costs nothing unless the deployment says otherwise.
impl Default for CreditRates {
    fn default() -> Self {
        Self {
            cpu_hour: Decimal::new(1, 1),
            memory_gib_hour: Decimal::new(25, 3),
            storage_gb_month: Decimal::new(25, 3),
            network_gb: Decimal::ZERO,
            network_gb_of_region: BTreeMap::new(),
        }
    }
}

/// The rates as a setting gives them. Whatever is omitted keeps its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenRates {
    cpu_hour: Option<Value>,
    memory_gib_hour: Option<Value>,
    storage_gb_month: Option<Value>,
    network_gb: Option<Value>,
}

impl CreditRates {
    /// Parses the rates from JSON, such as
    /// `{"cpu_hour": "0.1", "network_gb": {"default": "0.09", "eu-central-1": "0.02"}}`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(json: &str) -> Result<Self, String> {
        let given: GivenRates = serde_json::from_str(json).map_err(|error| {
            format!("can't be read ({error}); it has cpu_hour, memory_gib_hour, storage_gb_month and network_gb")
        })?;
        let defaults = Self::default();
        let or = |name: &str, value: Option<Value>, default: Decimal| match value {
            Some(value) => rate(name, &value),
            None => Ok(default),
        };
        let (network_gb, network_gb_of_region) = match given.network_gb {
            Some(Value::Object(regions)) => {
                let mut of_region = BTreeMap::new();
                for (region, value) in regions {
                    of_region.insert(region.clone(), rate(&format!("network_gb.{region}"), &value)?);
                }
                (of_region.remove("default").unwrap_or(defaults.network_gb), of_region)
            }
            other => (or("network_gb", other, defaults.network_gb)?, BTreeMap::new()),
        };
        Ok(Self {
            cpu_hour: or("cpu_hour", given.cpu_hour, defaults.cpu_hour)?,
            memory_gib_hour: or("memory_gib_hour", given.memory_gib_hour, defaults.memory_gib_hour)?,
            storage_gb_month: or("storage_gb_month", given.storage_gb_month, defaults.storage_gb_month)?,
            network_gb,
            network_gb_of_region,
        })
    }

    /// The rate of a kind. Only the network's depends on the region.
    pub fn rate(&self, kind: UsageKind, region: Option<&str>) -> Decimal {
        match kind {
            UsageKind::CpuHours => self.cpu_hour,
            UsageKind::MemoryGibHours => self.memory_gib_hour,
            UsageKind::StorageGbMonths => self.storage_gb_month,
            UsageKind::NetworkGb => {
                let of_region = region.and_then(|region| self.network_gb_of_region.get(region));
                of_region.copied().unwrap_or(self.network_gb)
            }
        }
    }
}

/// Reads a rate from a number or a text with a number.
fn rate(name: &str, value: &Value) -> Result<Decimal, String> {
    let rate = match value {
        Value::Number(number) => decimal::of_number(number),
        Value::String(text) => decimal::parse(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    rate.map(|rate| rate.normalize()).filter(|rate| {
        !rate.is_sign_negative() && *rate <= limits::MAX_CREDIT_RATE && rate.scale() <= limits::CREDIT_RATE_DIGITS
    })
    .ok_or_else(|| {
        format!(
            "{name} must be a number of credits from 0 to {} with at most {} digits behind the point, such as \"0.025\"",
            limits::MAX_CREDIT_RATE,
            limits::CREDIT_RATE_DIGITS
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // R70: the rates that apply without a setting.
    #[test]
    fn the_default_rates_are_those_of_the_rule() {
        let rates = CreditRates::default();
        let of = |kind| rates.rate(kind, Some("eu")).to_string();
        let all = [UsageKind::CpuHours, UsageKind::MemoryGibHours, UsageKind::StorageGbMonths, UsageKind::NetworkGb];
        assert_eq!(all.map(of), ["0.1", "0.025", "0.025", "0"]);
        assert_eq!(CreditRates::parse("{}"), Ok(rates));
    }

    #[test]
    fn rates_are_exact_and_network_has_one_for_each_region() {
        let rates = CreditRates::parse(
            r#"{"cpu_hour": 0.1, "memory_gib_hour": "0.000001", "network_gb": {"default": "0.09", "eu": "0"}}"#,
        )
        .unwrap();
        assert_eq!(rates.rate(UsageKind::CpuHours, None), Decimal::new(1, 1));
        assert_eq!(rates.rate(UsageKind::MemoryGibHours, None), Decimal::new(1, 6));
        assert_eq!(rates.rate(UsageKind::NetworkGb, Some("eu")), Decimal::ZERO);
        for region in [Some("us"), Some("default"), None] {
            assert_eq!(rates.rate(UsageKind::NetworkGb, region), Decimal::new(9, 2), "{region:?}");
        }
        let one = CreditRates::parse(r#"{"network_gb": 0.5}"#).unwrap();
        assert_eq!(one.rate(UsageKind::NetworkGb, Some("eu")), Decimal::new(5, 1));
    }

    #[test]
    fn wrong_rates_are_refused_by_name() {
        for (json, name) in [
            (r#"{"cpu_hour": "-0.1"}"#, "cpu_hour"),
            (r#"{"cpu_hour": "NaN"}"#, "cpu_hour"),
            (r#"{"memory_gib_hour": "0.0000001"}"#, "memory_gib_hour"),
            (r#"{"storage_gb_month": true}"#, "storage_gb_month"),
            (r#"{"network_gb": {"eu": 1e9}}"#, "network_gb.eu"),
            (r#"{"cpu_hours": "0.1"}"#, "cpu_hours"),
            ("0.1", "cpu_hour"),
        ] {
            let error = CreditRates::parse(json).unwrap_err();
            assert!(error.contains(name), "{json}: {error}");
        }
    }
}
