//! What people may do: roles, approvals, keys, and clear words for what they may not.

use oag_pilot::{Caller, NewKey, Phase};
use oag_types::{Code, Permission, PrincipalKind, Role, Scope};
use serde_json::json;

use crate::world::{World, asked, service_name, wish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_eyes_compare_people_and_not_keys() {
    let world = World::new().await;
    let (tenant, pilot) = (&world.tenant, &world.pilot);
    let proposal = asked(vec![wish("deploy", json!({"version": "2"}))]);
    let plan = pilot.propose(tenant, &world.admin, proposal).await.unwrap().value;
    let waiting = pilot.apply(tenant, &world.admin, plan.id(), &plan.digest).await.unwrap().value;
    assert_eq!(waiting.phase, Phase::AwaitingApproval);

    let wanted = NewKey {
        principal: world.admin.principal.id,
        name: "another key of the same person".into(),
        scopes: Vec::new(),
        expires_at: None,
    };
    let (_, secret) = pilot.mint_key(tenant, &world.admin, wanted).await.unwrap();
    let same = pilot.authenticate(tenant, secret.expose()).await.unwrap();
    let refused = pilot.approve(tenant, &same, plan.id(), &plan.digest).await.unwrap_err();
    assert_eq!(refused.code, Code::CANNOT_APPROVE);

    let robot = world.principal("ci", PrincipalKind::ServiceAccount, Role::ADMIN, Scope::All).await;
    let refused = pilot.approve(tenant, &robot, plan.id(), &plan.digest).await.unwrap_err();
    assert_eq!(refused.code, Code::CANNOT_APPROVE);

    let second = world.person("second", Role::ADMIN).await;
    let other = oag_types::Digest::of(b"another plan");
    let refused = pilot.approve(tenant, &second, plan.id(), &other).await.unwrap_err();
    assert_eq!(refused.code, Code::DIGEST_MISMATCH);
    pilot.approve(tenant, &second, plan.id(), &plan.digest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_reach_as_far_as_they_say() {
    let world = World::new().await;
    let (tenant, pilot) = (&world.tenant, &world.pilot);
    let group = Scope::Groups(vec!["orders".parse().unwrap()]);
    let elsewhere = Scope::Groups(vec!["payments".parse().unwrap()]);
    let operator = world.principal("op", PrincipalKind::Person, Role::OPERATOR, group).await;
    let stranger = world.principal("out", PrincipalKind::Person, Role::OPERATOR, elsewhere).await;
    let auditor = world.person("aud", Role::AUDITOR).await;

    assert_eq!(pilot.services(tenant, &operator).await.unwrap().len(), 1);
    assert_eq!(pilot.services(tenant, &stranger).await.unwrap().len(), 0);
    let hidden = pilot.service(tenant, &stranger, &service_name()).await.unwrap_err();
    assert_eq!(hidden.code, Code::NOT_FOUND, "what may not be seen is not there");
    pilot.logs(tenant, &operator, &service_name(), 10).await.unwrap();
    pilot.logs(tenant, &auditor, &service_name(), 10).await.unwrap();
    pilot.ledger_head(tenant, &auditor).await.unwrap();
    assert_eq!(pilot.ledger_head(tenant, &operator).await.unwrap_err().code, Code::FORBIDDEN);

    let scale = || asked(vec![wish("scale", json!({"replicas": 3}))]);
    let plan = pilot.propose(tenant, &operator, scale()).await.unwrap().value;
    assert_eq!(plan.phase, Phase::Denied, "an operator may stop and start, not scale");
    let refused = pilot.propose(tenant, &auditor, scale()).await.unwrap_err();
    assert_eq!(refused.code, Code::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_only_narrows_and_ends_at_once_when_revoked() {
    let world = World::new().await;
    let (tenant, pilot) = (&world.tenant, &world.pilot);
    let wanted = NewKey {
        principal: world.admin.principal.id,
        name: "reader".into(),
        scopes: vec![Permission::new("service:view")],
        expires_at: None,
    };
    let (key, secret) = pilot.mint_key(tenant, &world.admin, wanted).await.unwrap();
    let reader: Caller = pilot.authenticate(tenant, secret.expose()).await.unwrap();
    assert_eq!(pilot.services(tenant, &reader).await.unwrap().len(), 1);
    assert_eq!(pilot.ledger_head(tenant, &reader).await.unwrap_err().code, Code::FORBIDDEN);
    pilot.revoke_key(tenant, &world.admin, key.value.id).await.unwrap();
    let gone = pilot.authenticate(tenant, secret.expose()).await.unwrap_err();
    assert_eq!(gone.code, Code::CREDENTIALS_EXPIRED);
    let wrong = pilot.authenticate(tenant, "oag_nonsense").await.unwrap_err();
    assert_eq!(wrong.code, Code::UNAUTHENTICATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_cannot_be_shut_out() {
    let world = World::new().await;
    let mut me = world.admin.principal.clone();
    me.disabled = true;
    let refused =
        world.pilot.update_principal(&world.tenant, &world.admin, me, None).await.unwrap_err();
    assert_eq!(refused.code, Code::CONFLICT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_wishes_name_their_field() {
    let world = World::new().await;
    let cases = [
        (wish("scale", json!({"replicas": 99})), "actions[0].params.replicas"),
        (wish("scale", json!({"replicas": -1})), "actions[0].params"),
        (wish("scale", json!({"replicas": 2})), "actions[0].params.replicas"),
        (wish("scale", json!({"replica": 2})), "actions[0].params"),
        (wish("dance", json!({})), "actions[0].kind"),
        (wish("shed", json!({"feature": "checkout"})), "actions[0].params.feature"),
        (wish("shed", json!({"feature": "nothing"})), "actions[0].params.feature"),
        (wish("script", json!({"script": "rm"})), "actions[0].params.script"),
        (wish("start", json!({})), "actions[0].service"),
        (wish("configure", json!({"set": {}})), "actions[0].params.set"),
        (wish("notify", json!({"message": " "})), "actions[0].params.message"),
        (wish("rollback", json!({})), "actions[0].params.version"),
    ];
    for (wish, field) in cases {
        let kind = wish.kind.clone();
        let problem = world
            .pilot
            .propose(&world.tenant, &world.admin, asked(vec![wish]))
            .await
            .expect_err(kind.as_str());
        let named = problem.fields.first().map(|(name, _)| name.as_str());
        assert_eq!(named, Some(field), "{problem:?}");
    }
    let none = world.pilot.propose(&world.tenant, &world.admin, asked(Vec::new())).await;
    assert_eq!(none.unwrap_err().code, Code::INVALID_INPUT);
}
