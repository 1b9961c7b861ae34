//! What a file means, whatever its lines: to compare two that say it differently.

use tollgate::config::{ClaimSource, Config, FilePlace};

/// All of a configuration but the places in its file, and the warnings that name them.
pub fn meaning(config: &Config) -> String {
    let mut config = config.clone();
    config.warnings.clear();
    for provider in &mut config.providers {
        if let Some(until) = &mut provider.rules.until {
            until.place = (0, 0);
        }
    }
    for (_, source) in config.issuer.iter_mut().flat_map(|issuer| &mut issuer.claims) {
        if let ClaimSource::Query(query) = source {
            query.place = FilePlace::default();
        }
    }
    format!("{config:?}")
}
