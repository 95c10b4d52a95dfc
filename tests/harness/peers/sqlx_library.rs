// sqlx as a library, as a program that embeds it runs it: with its advisory lock.
use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let migrator = Migrator::new(Path::new(&arguments[2])).await?;
    let mut connection = PgConnection::connect(&arguments[3]).await?;
    if arguments[1] == "down" {
        let mut versions: Vec<i64> = migrator.iter().map(|each| each.version).collect();
        versions.dedup();
        migrator.undo(&mut connection, versions[versions.len() - 2]).await?;
    } else {
        migrator.run(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}
