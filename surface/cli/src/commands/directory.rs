//! `keys`, `principals` and `whoami`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::get::{self, GetArgs};
use crate::Terminal;
use crate::api::Api;
use crate::args::{Confirm, Connection, Format, Output, duration};
use crate::exit::{Exit, Trouble};
use crate::resource::{Resource, roles};
use crate::table;
use crate::value::{Read, words};

/// Commands about API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Every key, never its secret.
    List(ListArgs),
    /// Make a key; its secret is shown this once.
    Mint(MintArgs),
    /// Make a key useless at once.
    Revoke(RevokeArgs),
}

/// Commands about people and programs.
#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalsCommand {
    /// Everybody.
    List(ListArgs),
    /// Add a person or a program.
    Add(AddArgs),
    /// Take everything from one, keys included, without forgetting them.
    Disable(SwitchArgs),
    /// Give it back.
    Enable(SwitchArgs),
}

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// A new key.
#[derive(Debug, Args)]
pub(crate) struct MintArgs {
    /// Whose, usr_…
    #[arg(long)]
    principal: String,
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it is narrowed to, such as signal:write; everything its principal may when left out.
    /// May be given several times.
    #[arg(long, value_name = "PERMISSION")]
    scope: Vec<String>,
    /// After which time it ends, such as 90d; never when left out.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    expires: Option<Duration>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The key's id, key_…, never its secret.
    key: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    connection: Connection,
}

/// A new person or program.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Only people approve.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Name for people.
    #[arg(long)]
    name: String,
    /// A role, everywhere or in groups only. May be given several times.
    #[arg(long, value_name = "ROLE[@GROUP,…]", value_parser = binding)]
    role: Vec<Value>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Whom.
#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    /// The id, usr_…
    principal: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// How to show who is calling.
#[derive(Debug, Args)]
pub(crate) struct WhoAmIArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A human being.
    Person,
    /// A program.
    ServiceAccount,
}

/// Reads `operator` or `operator@payments,shop`.
fn binding(text: &str) -> Result<Value, String> {
    let (role, groups) = match text.split_once('@') {
        Some((role, groups)) => (role, Some(groups)),
        None => (text, None),
    };
    let names: Vec<&str> = groups.into_iter().flat_map(|groups| groups.split(',')).collect();
    if role.is_empty() || names.iter().any(|name| name.is_empty()) {
        return Err("write it as ROLE or ROLE@GROUP,GROUP".to_owned());
    }
    let scope = if groups.is_some() { json!({ "groups": names }) } else { json!("all") };
    Ok(json!({ "role": role, "scope": scope }))
}

pub(crate) async fn keys(command: KeysCommand, terminal: &Terminal) -> anyhow::Result<Exit> {
    match command {
        KeysCommand::List(args) => list(Resource::Keys, args, terminal).await,
        KeysCommand::Mint(args) => mint(args, terminal).await,
        KeysCommand::Revoke(args) => revoke(args, terminal).await,
    }
}

pub(crate) async fn principals(
    command: PrincipalsCommand,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    match command {
        PrincipalsCommand::List(args) => list(Resource::Principals, args, terminal).await,
        PrincipalsCommand::Add(args) => add(args, terminal).await,
        PrincipalsCommand::Disable(args) => switch(args, true, terminal).await,
        PrincipalsCommand::Enable(args) => switch(args, false, terminal).await,
    }
}

async fn list(resource: Resource, args: ListArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    get::run(GetArgs::all(resource, args.output, args.connection), terminal).await
}

async fn mint(args: MintArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let expires = args.expires.map(|after| {
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        terminal.now().plus_millis(millis).to_string()
    });
    let request = json!({
        "principal": args.principal,
        "name": args.name,
        "scopes": args.scope,
        "expires_at": expires,
    });
    let minted = Api::new(&args.connection)?.post(&["api", "v1", "keys"], &request).await?;
    let secret = minted.str("/secret");
    table::show(terminal, args.output.format, &minted, || secret.to_owned(), || secret.to_owned())?;
    if matches!(args.output.format, Format::Table | Format::Wide) {
        terminal.say(&format!("key {} made; its secret is shown only now", minted.str("/key/id")));
        terminal
            .hint("keep it where only its user can read it, and give it in OPENAUTOGLM_API_KEY");
    }
    Ok(Exit::Done)
}

async fn revoke(args: RevokeArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    if !args.key.starts_with("key_") {
        let text = "a key is revoked by its id, key_…, not by its secret";
        return Err(Trouble::usage(text).hint("`openautoglm get keys` lists the ids").into());
    }
    args.confirm.ask(terminal, &format!("Revoke {} for ever?", args.key)).await?;
    let api = Api::new(&args.connection)?;
    api.post(&["api", "v1", "keys", &args.key, "revoke"], &Value::Null).await?;
    terminal.data(&format!("key {} revoked", args.key))?;
    Ok(Exit::Done)
}

async fn add(args: AddArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let kind = match args.kind {
        Kind::Person => "person",
        Kind::ServiceAccount => "service_account",
    };
    let request = json!({ "kind": kind, "name": args.name, "roles": args.role });
    let made = Api::new(&args.connection)?.post(&["api", "v1", "principals"], &request).await?;
    let id = made.text("/id");
    table::show(
        terminal,
        args.output.format,
        &made,
        || id.clone(),
        || format!("{} {} added as {id}", words(kind), args.name),
    )?;
    if made.list("/roles").is_empty() {
        terminal.say("without a role it may do nothing");
    }
    terminal.hint(&format!("give it a key: `openautoglm keys mint --principal {id} --name …`"));
    Ok(Exit::Done)
}

async fn switch(args: SwitchArgs, disabled: bool, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let search = GetArgs {
        limit: usize::MAX,
        ..GetArgs::all(Resource::Principals, args.output, args.connection)
    };
    let all = get::list(&api, &search).await?.items;
    let found = all.into_iter().find(|one| one.str("/id") == args.principal);
    let mut principal = found.ok_or_else(|| {
        let text = format!("no principal '{}'", args.principal);
        Trouble::new(Exit::NotFound, text).hint("`openautoglm get principals` lists them")
    })?;
    let revision = principal.at("/revision").as_u64();
    if let Some(members) = principal.as_object_mut() {
        members.insert("disabled".to_owned(), json!(disabled));
    }
    let path = ["api", "v1", "principals", &args.principal];
    let saved = api.put(&path, &principal, revision).await?;
    let verb = if disabled { "disabled" } else { "enabled" };
    table::show(
        terminal,
        args.output.format,
        &saved,
        || args.principal.clone(),
        || format!("{} ({}) {verb}", saved.str("/name"), args.principal),
    )?;
    Ok(Exit::Done)
}

pub(crate) async fn whoami(args: WhoAmIArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.connection)?;
    let me = api.get(&["api", "v1", "whoami"], &[]).await?;
    table::show(
        terminal,
        args.output.format,
        &me,
        || me.text("/id"),
        || {
            let may = me.text("/permissions");
            let scopes = me.text("/scopes");
            let narrowed = if scopes.is_empty() { "nothing".to_owned() } else { scopes };
            [
                format!("{} ({}), {}", me.str("/name"), me.str("/id"), words(me.str("/kind"))),
                format!("  tenant       {}", me.str("/tenant")),
                format!("  roles        {}", roles(&me)),
                format!("  key          {}", me.text("/key")),
                format!("  narrowed to  {narrowed}"),
                format!("  may          {may}"),
                format!("  server       {}", api.address()),
            ]
            .join("\n")
        },
    )?;
    Ok(Exit::Done)
}
