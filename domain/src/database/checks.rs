//! What must be so of a database before the service works on it. Each refusal says what to do.

use anyhow::bail;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::base::error::{Error, Result};
use crate::base::secret::{Keyring, Purpose};
use crate::database::schema::secret_fingerprint;

/// The oldest PostgreSQL that has what the statements need.
const OLDEST_VERSION: i32 = 150_000;

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    version_name: String,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// The server is of a version and the database of an encoding that will do.
pub(crate) async fn require_server(connection: &mut AsyncPgConnection) -> anyhow::Result<()> {
    let Server { version, version_name, encoding, name } = diesel::sql_query(
        "SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS version_name, \
         current_setting('server_encoding') AS encoding, current_database()::text AS name",
    )
    .get_result(connection)
    .await?;
    if version < OLDEST_VERSION {
        bail!("the server is PostgreSQL {version_name}; Rollcall needs 15 or later: upgrade it");
    }
    if encoding != "UTF8" {
        bail!(
            "the database {name} has the encoding {encoding}, which can't hold every name; Rollcall needs UTF8: make one with \
             CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        );
    }
    Ok(())
}

/// Whether the database was used with this secret, or never with any; from now on it is. One that was used with the previous
/// secret goes over to the current one.
pub(crate) async fn knows_secret(connection: &mut AsyncPgConnection, keyring: &Keyring) -> Result<bool> {
    let accepted = keyring.accepted_digests(Purpose::Fingerprint, &[])?;
    let Some((current, previous)) = accepted.split_first() else { return Err(Error::Bug("a keyring has a secret")) };
    diesel::insert_into(secret_fingerprint::table)
        .values(secret_fingerprint::fingerprint.eq(current))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    let is_used_with = |digests: Vec<Vec<u8>>| secret_fingerprint::fingerprint.eq_any(digests);
    let changed = diesel::update(secret_fingerprint::table)
        .filter(is_used_with(previous.to_vec()))
        .set(secret_fingerprint::fingerprint.eq(current))
        .execute(connection)
        .await?;
    if changed > 0 {
        tracing::info!(
            "ROLLCALL_SECRET has been changed; keep ROLLCALL_PREVIOUS_SECRET until no link of before matters"
        );
    }
    let used = secret_fingerprint::table.filter(is_used_with(vec![current.clone()]));
    Ok(diesel::select(diesel::dsl::exists(used)).get_result(connection).await?)
}
