//! Tokens of people, teams and pipelines.

use crate::cli::client::Client;
use crate::cli::screen::{Screen, print, print_json};
use crate::cli::table::{Cell, Table};
use crate::cli::time::age;
use jiff::Timestamp;
use muster_schemas::api::{List, NewToken, TokenRequest, TokenView};
use std::process::ExitCode;

/// Make, list and revoke tokens; what their bearers may do says the policy's `access`
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Make a token and print it, this once
    Create {
        /// Its name, such as team-shop: what the policy's `access` and the journal call its bearer
        name: String,
    },
    /// List the tokens, and what their bearers may do now
    List,
    /// Take a token no more, and end the console's sessions that were opened with it
    Revoke {
        /// Its name
        name: String,
    },
}

pub(super) async fn token(
    args: TokenArgs,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    match args.act {
        Act::Create { name } => {
            let made: NewToken = client
                .post(&["tokens"], &TokenRequest { name }, None)
                .await?;
            if screen.is_json() {
                print_json(&made)?;
            } else {
                // Alone on its line, so that it can be put straight into a secret store.
                print(&format!("{}\n", made.token))?;
            }
        }
        Act::List => {
            let tokens: List<TokenView> = client.get(&["tokens"], &Vec::new()).await?;
            if screen.is_json() {
                print_json(&tokens.items)?;
            } else {
                print(&table(&tokens.items, client.now()).render(screen))?;
            }
        }
        Act::Revoke { name } => {
            client.delete(&["tokens", &name]).await?;
            if !screen.is_json() {
                print(&format!("the token {name} is taken no more\n"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(tokens: &[TokenView], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAME", "ROLE", "MADE BY", "AGE", "APPS"]);
    for token in tokens {
        let apps: Vec<&str> = token.rights.apps.iter().map(String::as_str).collect();
        table.row(vec![
            Cell::text(&token.name),
            Cell::text(token.rights.role.word()),
            Cell::text(token.made_by.as_deref().unwrap_or_default()),
            Cell::text(
                token
                    .made_at
                    .map(|made_at| age(now, made_at))
                    .unwrap_or_default(),
            ),
            Cell::text(apps.join(", ")),
        ]);
    }
    table
}
