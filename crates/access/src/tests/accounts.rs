use dokuei_domain::{FacilityId, PersonName, Role, hours::OnDutyHours};

use crate::{AccessError, Language, NewAccount, ReaderEdit};

use super::{CLI, Node, both, id, new_reader};

fn new(name: &str, role: Role, facility: Option<&str>) -> NewAccount {
    let facility = facility.map(|text| FacilityId::parse(text).unwrap());
    NewAccount { id: id(name), role, facility, display_name: name.to_owned(), language: Language::English }
}

#[tokio::test]
async fn an_enrolment_has_all_that_is_needed_once() {
    let node = Node::new().await;

    let office = node.office("O1").await;

    assert!(office.password.len() >= 20);
    assert!(office.otpauth_url.starts_with("otpauth://totp/Dokuei:O1?secret="), "{}", office.otpauth_url);
    assert!(office.otpauth_url.contains(&office.totp_secret_base32));
    assert!(office.qr_png_base64.starts_with("iVBORw0KGgo"), "a PNG");
    assert_eq!((office.recovery_codes.len(), &office.certificate_serial), (10, &None));
    assert!(!format!("{office:?}").contains(&office.password));
    assert_eq!(node.last_audit().await, "account.add success O1");
    // Nothing of it is stored as it is.
    let row = node.db.read().await.unwrap().account_find(&id("O1")).await.unwrap().unwrap();
    assert!(row.password_hash.starts_with("$argon2id$"));
    let secret = totp_rs::Secret::try_from_base32(&office.totp_secret_base32).unwrap();
    assert!(!row.totp_secret.windows(20).any(|window| window == secret.as_bytes()));
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_with_a_reason() {
    both(|node| async move {
        node.office("O1").await;
        let (administrator, _) = node.administrator("A1").await;
        let refusal = async |new: NewAccount| node.access.account_add(&CLI, new).await.unwrap_err();

        assert!(matches!(refusal(new("O1", Role::Office, None)).await, AccessError::AccountExists(_)));
        assert!(matches!(refusal(new("U1", Role::Facility, None)).await, AccessError::FacilityRequired));
        assert!(matches!(refusal(new("O2", Role::Office, Some("H1"))).await, AccessError::FacilityRequired));
        assert!(matches!(refusal(new("U1", Role::Facility, Some("H1"))).await, AccessError::UnknownFacility(_)));
        assert!(matches!(refusal(new("R1", Role::Reader, None)).await, AccessError::ReaderNeedsName));
        let mut nameless = new("O2", Role::Office, None);
        nameless.display_name = " \n ".to_owned();
        assert!(matches!(refusal(nameless).await, AccessError::Text { .. }));

        let second = node.access.account_add(&administrator, new("A2", Role::Administrator, None)).await.unwrap_err();
        assert!(matches!(second, AccessError::AdministratorByCommandLine), "{second}");
        assert_eq!(node.last_audit().await, "access.denied refused A2");
        node.access.account_add(&administrator, new("O3", Role::Office, None)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn only_administrators_keep_accounts() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let actor = node.sign_in(&office).await.session.actor;

    assert!(matches!(
        node.access.account_add(&actor, new("O2", Role::Office, None)).await,
        Err(AccessError::Denied(_))
    ));
    assert!(matches!(node.access.reader_add(&actor, new_reader("R1")).await, Err(AccessError::Denied(_))));
    assert!(matches!(node.access.account_disable(&actor, &id("O1")).await, Err(AccessError::Denied(_))));
    assert!(matches!(node.access.account_list(&actor).await, Err(AccessError::Denied(_))));
    assert!(node.access.reader_list(&actor).await.is_ok(), "the office assigns cases");
    assert_eq!(node.audit(10).await.iter().filter(|row| row.action == "access.denied").count(), 4);
}

#[tokio::test]
async fn the_last_administrator_cannot_be_disabled() {
    both(|node| async move {
        let (first, _) = node.administrator("A1").await;
        assert!(matches!(node.access.account_disable(&first, &id("A1")).await, Err(AccessError::LastAdministrator(_))));

        node.administrator("A2").await;
        node.access.account_disable(&first, &id("A2")).await.unwrap();
        node.access.account_disable(&first, &id("A2")).await.unwrap();

        assert!(matches!(node.access.account_disable(&first, &id("A1")).await, Err(AccessError::LastAdministrator(_))));
        assert!(matches!(node.access.account_disable(&first, &id("A9")).await, Err(AccessError::UnknownAccount(_))));
    })
    .await;
}

#[tokio::test]
async fn a_reader_is_listed_with_skills_and_certificate_and_can_change() {
    both(|node| async move {
        let enrolment = node.reader("R1").await;

        let reader = node.access.reader_list(&CLI).await.unwrap().remove(0);
        assert_eq!(reader.name, PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"));
        assert_eq!(reader.modalities, ["CT", "MR"]);
        assert_eq!(reader.hours, "Mon-Fri 08:00-20:00");
        assert_eq!(reader.certificate_serial, enrolment.certificate_serial);
        let years =
            reader.certificate_expires_at.unwrap().seconds_since(reader.accepting_since.unwrap()) / (365 * 24 * 3600);
        assert_eq!(years, 5);

        let hours = OnDutyHours::parse("Sat 09:00-12:00").unwrap();
        let edit = ReaderEdit { modalities: Some(vec!["us".to_owned()]), hours: Some(hours), accepting: Some(false) };
        node.access.reader_edit(&CLI, &id("R1"), edit).await.unwrap();
        let reader = node.access.reader_list(&CLI).await.unwrap().remove(0);
        assert_eq!(
            (reader.modalities, reader.hours.as_str(), reader.accepting_since),
            (vec!["US".to_owned()], "Sat 09:00-12:00", None)
        );
        assert_eq!(node.last_audit().await, "reader.edit success R1");
    })
    .await;
}

#[tokio::test]
async fn a_reader_without_name_or_skill_is_refused() {
    let node = Node::new().await;
    let mut nameless = new_reader("R1");
    nameless.name = PersonName::parse("^=^");
    assert!(matches!(node.access.reader_add(&CLI, nameless).await, Err(AccessError::NameMissing)));
    for modalities in [vec![], vec!["C T"], vec!["読影"], vec!["ABCDEFGHIJKLMNOPQ"]] {
        let mut unskilled = new_reader("R1");
        unskilled.modalities = modalities.iter().map(|text| (*text).to_owned()).collect();
        let refused = node.access.reader_add(&CLI, unskilled).await.unwrap_err();
        assert!(matches!(refused, AccessError::Modality(_) | AccessError::Text { .. }), "{refused}");
    }
    node.office("O1").await;
    let refused = node.access.reader_edit(&CLI, &id("O1"), ReaderEdit::default()).await.unwrap_err();
    assert!(matches!(refused, AccessError::NotAReader(_)), "{refused}");
    assert_eq!(node.access.reader_list(&CLI).await.unwrap(), []);
}
