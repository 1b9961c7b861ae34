//! How a server is reached: what its URL says, and what it leaves open.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::config::DatabaseUrl;

/// A server elsewhere must prove who it is, unless the URL says otherwise: it is told what logs everybody in.
pub(super) fn postgres_options(url: &DatabaseUrl) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(PgSslMode::VerifyFull) } else { options })
}

/// As for PostgreSQL.
pub(super) fn mysql_options(url: &DatabaseUrl) -> Result<MySqlConnectOptions, sqlx::Error> {
    let options = MySqlConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(MySqlSslMode::VerifyIdentity) } else { options })
}

fn text(url: &DatabaseUrl) -> Result<&str, sqlx::Error> {
    std::str::from_utf8(url.url.expose()).map_err(|error| sqlx::Error::Configuration(error.into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Database, Users};

    /// The mode of a URL as a `gateway.yaml` has it.
    fn mode(url: &str) -> String {
        let file = format!("issuer: {{ users: {{ django: {{ database: '{url}' }} }} }}");
        let config = config::read_text(&file, Path::new("gateway.yaml"), &|_| None).expect("valid");
        let Some(Users::Django(users)) = config.issuer.map(|issuer| issuer.users) else { panic!("no users") };
        match &users.database {
            Database::Postgres(url) => format!("{:?}", postgres_options(url).unwrap().get_ssl_mode()),
            Database::MySql(url) => format!("{:?}", mysql_options(url).unwrap().get_ssl_mode()),
            Database::Sqlite(_) => panic!("no server"),
        }
    }

    #[test]
    fn a_server_elsewhere_must_show_its_certificate() {
        for (url, expected) in [
            ("postgres://db.example.com/site", "VerifyFull"),
            ("postgres://a@db.example.com:5432/site?sslrootcert=ca.pem", "VerifyFull"),
            ("postgres://localhost/site?host=db.example.com", "VerifyFull"),
            ("postgres://localhost/site?hostaddr=10.0.0.1", "VerifyFull"),
            ("postgres://localhost.example.com/site", "VerifyFull"),
            ("postgres://localhost@db.example.com/site", "VerifyFull"),
            ("postgres://127.0.0.1.example.com/site", "VerifyFull"),
            ("mysql://db.example.com/site", "VerifyIdentity"),
            ("mariadb://10.0.0.1/site", "VerifyIdentity"),
            ("postgres://db.example.com/site?sslmode=disable", "Disable"),
            ("mysql://db.example.com/site?ssl-mode=REQUIRED", "Required"),
            ("postgres://localhost:5432/site", "Prefer"),
            ("postgres://[::1]:5432/site", "Prefer"),
            ("postgres://%2Frun%2Fpostgresql/site", "Prefer"),
            ("postgres:///site?host=/run/postgresql", "Prefer"),
            ("mysql://127.0.0.1/site", "Preferred"),
        ] {
            assert_eq!(mode(url), expected, "{url}");
        }
    }
}
