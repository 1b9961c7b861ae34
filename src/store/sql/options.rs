//! How a server is reached: what its URL says, and what it leaves open.

use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::config::DatabaseUrl;

/// A server elsewhere must prove who it is, unless the URL says otherwise: it is told what logs everybody in.
pub(super) fn postgres_options(url: &DatabaseUrl) -> Result<PgConnectOptions, sqlx::Error> {
    let mut options = PgConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    if let Some(path) = existing(url.tls_files.authority.as_deref())? {
        options = options.ssl_root_cert(path);
    }
    if let Some(path) = existing(url.tls_files.certificate.as_deref())? {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = existing(url.tls_files.key.as_deref())? {
        options = options.ssl_client_key(path);
    }
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(PgSslMode::VerifyFull) } else { options })
}

/// As for PostgreSQL.
pub(super) fn mysql_options(url: &DatabaseUrl) -> Result<MySqlConnectOptions, sqlx::Error> {
    let mut options = MySqlConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    if let Some(path) = existing(url.tls_files.authority.as_deref())? {
        options = options.ssl_ca(path);
    }
    if let Some(path) = existing(url.tls_files.certificate.as_deref())? {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = existing(url.tls_files.key.as_deref())? {
        options = options.ssl_client_key(path);
    }
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(MySqlSslMode::VerifyIdentity) } else { options })
}

/// A file that is read at each connection. One that can't be read now is a mistake, and no outage of the server.
fn existing(path: Option<&Path>) -> Result<Option<&Path>, sqlx::Error> {
    if let Some(path) = path {
        File::open(path)
            .map_err(|error| sqlx::Error::Configuration(format!("{}: {error}", path.display()).into()))?;
    }
    Ok(path)
}

fn text(url: &DatabaseUrl) -> Result<&str, sqlx::Error> {
    std::str::from_utf8(url.url.expose()).map_err(|error| sqlx::Error::Configuration(error.into()))
}

#[cfg(test)]
mod tests {
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
            ("postgres://a@db.example.com:5432/site?sslrootcert=/dev/null", "VerifyFull"),
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

    #[test]
    fn a_file_that_a_url_names_lies_beside_the_gateways_and_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |url: &str| {
            let file = format!("issuer: {{ store: '{url}' }}");
            let path = folder.path().join("gateway.yaml");
            let config = config::read_text(&file, &path, &|_| None).expect("valid");
            match config.issuer.map(|issuer| issuer.store) {
                Some(Database::Postgres(url)) => postgres_options(&url).err().map(|error| error.to_string()),
                Some(Database::MySql(url)) => mysql_options(&url).err().map(|error| error.to_string()),
                other => panic!("{other:?}"),
            }
        };
        let urls = [
            "postgres://db.example.com/site?sslrootcert=a%20file",
            "postgres://db.example.com/site?sslcert=a%20file",
            "postgres://db.example.com/site?sslkey=a%20file",
            "mysql://db.example.com/site?ssl-ca=a%20file",
            "mysql://db.example.com/site?ssl-cert=a%20file",
            "mysql://db.example.com/site?ssl-key=a%20file",
        ];
        let file = folder.path().join("a file");
        for url in urls {
            let refusal = refusal(url).expect(url);
            assert!(refusal.contains(&format!("{}: No such file", file.display())), "{refusal}");
        }
        std::fs::write(&file, "").unwrap();
        for url in urls {
            assert_eq!(refusal(url), None, "{url}");
        }
    }
}
