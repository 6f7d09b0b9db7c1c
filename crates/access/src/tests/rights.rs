use dokuei_domain::{AccountId, Actor, AeTitle, FacilityId, Role};

use crate::{AccessError, Action, AuditEvent, AuditOutcome, Resource, can};

use super::{CLI, Node};

fn account(id: &str, role: Role, facility: Option<&str>) -> Actor {
    Actor::Account {
        id: AccountId::parse(id).unwrap(),
        role,
        facility: facility.map(|text| FacilityId::parse(text).unwrap()),
    }
}

/// The columns of the matrix: who acts.
fn actors() -> Vec<Actor> {
    let peer = Actor::Peer { facility: FacilityId::parse("H1").unwrap(), calling: AeTitle::parse("CT1").unwrap() };
    vec![
        account("R1", Role::Reader, None),
        account("U1", Role::Facility, Some("H1")),
        account("O1", Role::Office, None),
        account("A1", Role::Administrator, None),
        peer,
        Actor::System("settle"),
        CLI,
    ]
}

/// One row for each action. A cell is the answers for six resources: the node, facility H1, facility H2, and a case of H1 that is unclaimed, claimed by R1,
/// claimed by R2; `x` is yes. For facility H2, cases answer as the facility does for everybody who is bound to H1, which another test says.
#[rustfmt::skip]
const MATRIX: [(Action, [&str; 7]); 20] = {
    const NO: &str = "......";
    const ALL: &str = "xxxxxx";
    const OWN: &str = ".x.xxx"; // what belongs to H1
    const FREE: &str = "...xx."; // a case that nobody else reads
    const MINE: &str = "....x."; // a case that R1 reads
    [
        //                          reader facility office admin peer system cli
        (Action::SendObjects,      [NO,    NO,    NO,    NO,   OWN,  ALL,   ALL]),
        (Action::ViewWorklist,     [ALL,   OWN,   ALL,   NO,   NO,   ALL,   ALL]),
        (Action::ViewCase,         [FREE,  OWN,   ALL,   NO,   NO,   ALL,   ALL]),
        (Action::ClaimCase,        [FREE,  NO,    NO,    NO,   NO,   ALL,   ALL]),
        (Action::WriteDraft,       [MINE,  NO,    NO,    NO,   NO,   ALL,   ALL]),
        (Action::SignReport,       [MINE,  NO,    NO,    NO,   NO,   NO,    NO]),
        (Action::ViewReport,       [FREE,  OWN,   ALL,   NO,   NO,   ALL,   ALL]),
        (Action::ViewOwnStudies,   [NO,    OWN,   ALL,   NO,   NO,   ALL,   ALL]),
        (Action::EnterRequest,     [NO,    OWN,   ALL,   NO,   NO,   ALL,   ALL]),
        (Action::DeclareComplete,  [NO,    OWN,   NO,    NO,   NO,   ALL,   ALL]),
        (Action::WithdrawStudy,    [NO,    OWN,   NO,    NO,   NO,   ALL,   ALL]),
        (Action::ViewOffice,       [NO,    NO,    ALL,   NO,   NO,   ALL,   ALL]),
        (Action::AssignCase,       [NO,    NO,    ALL,   NO,   NO,   ALL,   ALL]),
        (Action::RetryDelivery,    [NO,    NO,    ALL,   NO,   NO,   ALL,   ALL]),
        (Action::ManageFacilities, [NO,    NO,    NO,    ALL,  NO,   ALL,   ALL]),
        (Action::ManageAccounts,   [NO,    NO,    NO,    ALL,  NO,   ALL,   ALL]),
        (Action::GrantApproval,    [NO,    NO,    NO,    ALL,  NO,   ALL,   ALL]),
        (Action::ViewAudit,        [NO,    NO,    NO,    ALL,  NO,   ALL,   ALL]),
        (Action::ExportObjects,    [NO,    OWN,   NO,    NO,   NO,   ALL,   ALL]),
        (Action::DecideQuarantine, [NO,    NO,    ALL,   NO,   NO,   ALL,   ALL]),
    ]
};

#[test]
fn the_whole_matrix() {
    let (h1, h2) = (FacilityId::parse("H1").unwrap(), FacilityId::parse("H2").unwrap());
    let (r1, r2) = (AccountId::parse("R1").unwrap(), AccountId::parse("R2").unwrap());
    let resources = [
        Resource::Node,
        Resource::Facility(&h1),
        Resource::Facility(&h2),
        Resource::Case { facility: &h1, claimed_by: None },
        Resource::Case { facility: &h1, claimed_by: Some(&r1) },
        Resource::Case { facility: &h1, claimed_by: Some(&r2) },
    ];
    assert_eq!(MATRIX.map(|(action, _)| action), Action::ALL, "a row for every action, in order");
    for (action, cells) in MATRIX {
        for (actor, expected) in actors().iter().zip(cells) {
            let answer: String = resources
                .iter()
                .map(|resource| if can(actor, action, *resource).is_ok() { 'x' } else { '.' })
                .collect();
            assert_eq!(answer, expected, "{} {action:?}", actor.label());
        }
    }
}

#[test]
fn another_facilitys_case_is_closed_to_those_who_are_bound_to_one() {
    let h2 = FacilityId::parse("H2").unwrap();
    let case = Resource::Case { facility: &h2, claimed_by: None };
    for actor in actors().iter().filter(|actor| actor.facility().is_some()) {
        for action in Action::ALL {
            assert!(can(actor, action, case).is_err(), "{} {action:?}", actor.label());
        }
    }
}

#[test]
fn a_facility_user_without_a_facility_may_nothing() {
    let h1 = FacilityId::parse("H1").unwrap();
    let broken = account("U9", Role::Facility, None);
    for action in Action::ALL {
        assert!(
            can(&broken, action, Resource::Node).is_err() && can(&broken, action, Resource::Facility(&h1)).is_err()
        );
    }
}

#[tokio::test]
async fn the_audit_trail_is_for_administrators_and_its_chain_holds() {
    let node = Node::new().await;
    let (administrator, _) = node.administrator("A1").await;
    let event = AuditEvent::new(
        node.access.ambient.now(),
        &Actor::System("receiver"),
        "association.refuse",
        AuditOutcome::Refused,
    );
    node.access.record(event.subject("CT9")).await.unwrap();

    let rows = node.access.audit_latest(&administrator, 10).await.unwrap();
    assert_eq!((rows.len(), rows[0].subject.as_str()), (2, "CT9"));
    assert_eq!(node.access.audit_verify(&administrator).await.unwrap(), Ok(2));
    let office = account("O1", Role::Office, None);
    assert!(matches!(node.access.audit_latest(&office, 10).await, Err(AccessError::Denied(_))));
}

#[tokio::test]
async fn a_refusal_is_told_and_audited_with_the_facility_that_was_reached_for() {
    let node = Node::new().await;
    let h2 = FacilityId::parse("H2").unwrap();
    let user = account("U1", Role::Facility, Some("H1"));

    let refused = node
        .access
        .require(&user, Action::ViewCase, Resource::Case { facility: &h2, claimed_by: None }, "case-7")
        .await;

    let error = refused.unwrap_err();
    assert!(matches!(error, AccessError::Denied(_)));
    assert_eq!(error.to_string(), "account:U1 may not view the case");
    let row = node.audit(1).await.remove(0);
    assert_eq!(
        (row.action.as_str(), row.outcome.as_str(), row.actor.as_str()),
        ("access.denied", "refused", "account:U1")
    );
    assert_eq!(
        (row.facility.as_deref(), row.subject.as_str(), row.detail.as_str()),
        (Some("H2"), "case-7", "view the case")
    );
}
