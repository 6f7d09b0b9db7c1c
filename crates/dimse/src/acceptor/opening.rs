//! From the A-ASSOCIATE-RQ to the A-ASSOCIATE-AC (PS3.8 7.1, PS3.7 annex D).

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason, RequestorRoles, UserIdentityType, UserVariableItem,
};
use dokuei_domain::{SopClassUid, TransferSyntaxUid};

use super::UserIdentity;
use crate::{
    APPLICATION_CONTEXT, ContextPolicy, ContextRejection, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME,
    ProtocolError, Rejection,
    association_pdu::{
        ASYNCHRONOUS_OPERATIONS, COMMON_EXTENDED, USER_IDENTITY_RESPONSE, fragment_limit, peer_max_length, trim_uid,
    },
    policy::Roles,
};

/// The largest fragment we send, whatever the peer would take.
const MAX_FRAGMENT: usize = 256 * 1024;
/// A peer that lists more general SOP classes than this for one class is not listened to further.
const MAX_GENERAL_CLASSES: usize = 16;

/// A presentation context both sides use.
#[derive(Clone, Debug)]
pub(super) struct AcceptedContext {
    pub(super) id: u8,
    pub(super) abstract_syntax: SopClassUid,
    /// The SOP class that the policy accepted: this one, or a general one of it.
    pub(super) accepted_as: SopClassUid,
    pub(super) transfer_syntax: TransferSyntaxUid,
    /// The peer may send requests on it.
    pub(super) peer_is_scu: bool,
    /// The peer may send events on it.
    pub(super) peer_is_scp: bool,
}

#[derive(Debug)]
pub(super) struct Negotiated {
    pub(super) accept: AssociationAC,
    pub(super) contexts: Vec<AcceptedContext>,
    pub(super) max_fragment: usize,
}

/// What is refused whoever asks (PS3.8 9.3.2: of the version only bit 0 is tested).
pub(super) fn check_protocol(request: &AssociationRQ) -> Result<(), Rejection> {
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::PROTOCOL_VERSION_NOT_SUPPORTED);
    }
    if trim_uid(&request.application_context_name) != APPLICATION_CONTEXT {
        return Err(Rejection::APPLICATION_CONTEXT_NOT_SUPPORTED);
    }
    Ok(())
}

pub(super) fn user_identity(request: &AssociationRQ) -> Option<UserIdentity> {
    request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::UserIdentityItem(identity) => Some(UserIdentity {
            kind: match identity.identity_type() {
                UserIdentityType::Username => 1,
                UserIdentityType::UsernamePassword => 2,
                UserIdentityType::KerberosServiceTicket => 3,
                UserIdentityType::SamlAssertion => 4,
                UserIdentityType::Jwt => 5,
                _ => 0,
            },
            primary: identity.primary_field(),
            secondary: identity.secondary_field(),
            positive_response_requested: identity.positive_response_requested(),
        }),
        _ => None,
    })
}

/// Whether the peer would send objects: it proposes a storage class, and not in the role of a receiver alone, as one does that retrieves (PS3.7 D.3.3.4).
pub(super) fn wants_storage(request: &AssociationRQ) -> bool {
    let receives_only = |class: &str| {
        request.user_variables.iter().any(|item| {
            matches!(item, UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) if trim_uid(uid) == class && !roles.scu)
        })
    };
    request.presentation_contexts.iter().any(|proposed| {
        let class = trim_uid(&proposed.abstract_syntax);
        SopClassUid::parse(class).is_ok_and(|class| crate::policy::is_storage(&class)) && !receives_only(class)
    })
}

/// Answers every proposed context and user information item of an admitted peer. Context ids must be odd and differ (PS3.8 9.3.2.2): a doubled one
/// would leave open which transfer syntax its objects have.
pub(super) fn negotiate(
    request: &AssociationRQ,
    policy: &dyn ContextPolicy,
    max_pdu: u32,
) -> Result<Negotiated, ProtocolError> {
    let max_fragment = fragment_limit(peer_max_length(&request.user_variables), MAX_FRAGMENT)?;
    let mut seen = [false; 256];
    let mut contexts = Vec::new();
    let mut results = Vec::with_capacity(request.presentation_contexts.len().min(128));
    for proposed in &request.presentation_contexts {
        let slot = seen.get_mut(usize::from(proposed.id)).filter(|used| proposed.id % 2 == 1 && !**used);
        *slot.ok_or(ProtocolError::IllegalContextId(proposed.id))? = true;
        let (reason, transfer_syntax) = match negotiate_context(proposed, &request.user_variables, policy) {
            Ok(context) => {
                let text = context.transfer_syntax.to_string();
                contexts.push(context);
                (PresentationContextResultReason::Acceptance, text)
            }
            // The field is not significant then; the default transfer syntax pleases parsers that look all the same.
            Err(rejection) => {
                (result_reason(rejection), dicom_dictionary_std::uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned())
            }
        };
        results.push(PresentationContextResult { id: proposed.id, reason, transfer_syntax });
    }
    if results.is_empty() {
        return Err(ProtocolError::MalformedPdu("A-ASSOCIATE-RQ without a presentation context"));
    }

    let mut user_variables = vec![
        UserVariableItem::MaxLength(max_pdu),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ];
    answer_user_items(&request.user_variables, policy, &mut contexts, &mut user_variables);
    let accept = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: results,
        user_variables,
    };
    Ok(Negotiated { accept, contexts, max_fragment })
}

fn negotiate_context(
    proposed: &PresentationContextProposed,
    user_variables: &[UserVariableItem],
    policy: &dyn ContextPolicy,
) -> Result<AcceptedContext, ContextRejection> {
    let abstract_syntax = SopClassUid::parse(trim_uid(&proposed.abstract_syntax))
        .map_err(|_| ContextRejection::AbstractSyntaxNotSupported)?;
    // What is not a UID cannot be agreed on; the others can.
    let offered: Vec<_> =
        proposed.transfer_syntaxes.iter().filter_map(|ts| TransferSyntaxUid::parse(trim_uid(ts)).ok()).collect();
    let (accepted_as, transfer_syntax) = match policy.negotiate(&abstract_syntax, &offered) {
        Err(ContextRejection::AbstractSyntaxNotSupported) => general_classes(&abstract_syntax, user_variables)
            .find_map(|general| policy.negotiate(&general, &offered).ok().map(|chosen| (general, chosen)))
            .ok_or(ContextRejection::AbstractSyntaxNotSupported)?,
        chosen => (abstract_syntax.clone(), chosen?),
    };
    let roles = policy.roles(&accepted_as, Roles::BOTH);
    Ok(AcceptedContext {
        id: proposed.id,
        abstract_syntax,
        accepted_as,
        transfer_syntax,
        peer_is_scu: roles.scu,
        peer_is_scp: roles.scp,
    })
}

/// The related general SOP classes of the common extended negotiation of a SOP class (PS3.7 D.3.3.6); none when there is no such item or it is malformed.
fn general_classes(
    abstract_syntax: &SopClassUid,
    user_variables: &[UserVariableItem],
) -> impl Iterator<Item = SopClassUid> {
    let of_class = |item: &UserVariableItem| match item {
        UserVariableItem::Unknown(COMMON_EXTENDED, bytes) => {
            let (uid, rest) = split_counted(bytes)?;
            let (_service_class, rest) = split_counted(rest)?;
            let (related, _reserved) = split_counted(rest)?;
            let same = trim_padding(uid) == abstract_syntax.as_str().as_bytes();
            same.then(|| related.to_vec())
        }
        _ => None,
    };
    let related = user_variables.iter().find_map(of_class).unwrap_or_default();
    let mut at = 0;
    std::iter::from_fn(move || {
        let (uid, rest) = split_counted(related.get(at..)?)?;
        at = related.len() - rest.len();
        Some(SopClassUid::parse_padded(uid))
    })
    .filter_map(Result::ok)
    .take(MAX_GENERAL_CLASSES)
}

fn trim_padding(uid: &[u8]) -> &[u8] {
    let end = uid.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
    uid.get(..end).unwrap_or_default()
}

/// A field behind its length in two bytes.
fn split_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Answers role selections, extended negotiations, the asynchronous operations window and the user identity; each at most once per SOP class, so that
/// the answer is no longer than the question.
fn answer_user_items(
    proposed: &[UserVariableItem],
    policy: &dyn ContextPolicy,
    contexts: &mut [AcceptedContext],
    answers: &mut Vec<UserVariableItem>,
) {
    let (mut roles_answered, mut extended_answered, mut window_answered, mut identity_answered) =
        (Vec::new(), Vec::new(), false, false);
    for item in proposed {
        match item {
            UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) => {
                let uid = trim_uid(uid);
                let mut of_class =
                    contexts.iter_mut().filter(|context| context.abstract_syntax.as_str() == uid).peekable();
                let Some(first) = of_class.peek().filter(|_| !roles_answered.contains(&uid)) else { continue };
                let granted = policy.roles(&first.accepted_as, Roles { scu: roles.scu, scp: roles.scp });
                let granted = RequestorRoles { scu: granted.scu && roles.scu, scp: granted.scp && roles.scp };
                of_class.for_each(|context| (context.peer_is_scu, context.peer_is_scp) = (granted.scu, granted.scp));
                roles_answered.push(uid);
                answers.push(UserVariableItem::ScuScpRoleSelectionSubItem(uid.to_owned(), granted));
            }
            UserVariableItem::SopClassExtendedNegotiationSubItem(uid, information) => {
                let uid = trim_uid(uid);
                let context = contexts.iter().find(|context| context.abstract_syntax.as_str() == uid);
                let Some(context) = context.filter(|_| !extended_answered.contains(&uid)) else { continue };
                if let Some(answer) = policy.extended(&context.accepted_as, information) {
                    extended_answered.push(uid);
                    answers.push(UserVariableItem::SopClassExtendedNegotiationSubItem(uid.to_owned(), answer));
                }
            }
            // One operation at a time in both directions: synchronous (PS3.7 D.3.3.3).
            UserVariableItem::Unknown(ASYNCHRONOUS_OPERATIONS, _) if !window_answered => {
                window_answered = true;
                answers.push(UserVariableItem::Unknown(ASYNCHRONOUS_OPERATIONS, vec![0, 1, 0, 1]));
            }
            // The server response is empty but for Kerberos, SAML and JWT tickets, which we do not issue.
            UserVariableItem::UserIdentityItem(identity)
                if identity.positive_response_requested() && !identity_answered =>
            {
                identity_answered = true;
                answers.push(UserVariableItem::Unknown(USER_IDENTITY_RESPONSE, vec![0, 0]));
            }
            _ => {}
        }
    }
}

fn result_reason(rejection: ContextRejection) -> PresentationContextResultReason {
    match rejection {
        ContextRejection::UserRejection => PresentationContextResultReason::UserRejection,
        ContextRejection::NoReason => PresentationContextResultReason::NoReason,
        ContextRejection::AbstractSyntaxNotSupported => PresentationContextResultReason::AbstractSyntaxNotSupported,
        ContextRejection::TransferSyntaxesNotSupported => PresentationContextResultReason::TransferSyntaxesNotSupported,
    }
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::UserIdentity as WireIdentity;

    use super::*;
    use crate::StoragePolicy;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const IMPLICIT: &str = "1.2.840.10008.1.2";

    fn request(ids: &[u8], user_variables: Vec<UserVariableItem>) -> AssociationRQ {
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "HOSP1".into(),
            called_ae_title: "DOKUEI".into(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: ids
                .iter()
                .map(|id| PresentationContextProposed {
                    id: *id,
                    abstract_syntax: CT.into(),
                    transfer_syntaxes: vec![IMPLICIT.into()],
                })
                .collect(),
            user_variables,
        }
    }

    #[test]
    fn only_bit_zero_of_the_version_counts() {
        let mut rq = request(&[1], vec![]);
        for (version, expected) in [(1, Ok(())), (0x8001, Ok(())), (2, Err(Rejection::PROTOCOL_VERSION_NOT_SUPPORTED))]
        {
            rq.protocol_version = version;
            assert_eq!(check_protocol(&rq), expected, "{version}");
        }
        rq.protocol_version = 1;
        rq.application_context_name = "1.2.840.10008.3.1.1.1\0".into();
        assert_eq!(check_protocol(&rq), Ok(()));
        rq.application_context_name = "1.2.3".into();
        assert_eq!(check_protocol(&rq), Err(Rejection::APPLICATION_CONTEXT_NOT_SUPPORTED));
    }

    #[test]
    fn even_zero_and_doubled_context_ids_are_refused() {
        for (ids, wrong) in [(&[2u8][..], 2), (&[0], 0), (&[1, 3, 1], 1)] {
            let error = negotiate(&request(ids, vec![]), &StoragePolicy, 131_072).unwrap_err();
            assert_eq!(error, ProtocolError::IllegalContextId(wrong));
        }
        let all: Vec<u8> = (0..128u8).map(|n| n * 2 + 1).collect();
        assert_eq!(negotiate(&request(&all, vec![]), &StoragePolicy, 131_072).unwrap().contexts.len(), 128);
    }

    #[test]
    fn user_items_are_answered_as_far_as_they_ask() {
        let ours = negotiate(
            &request(
                &[1, 3],
                vec![
                    UserVariableItem::MaxLength(0),
                    UserVariableItem::Unknown(ASYNCHRONOUS_OPERATIONS, vec![0, 0, 0, 0]),
                    UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), RequestorRoles { scu: true, scp: true }),
                    UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), RequestorRoles { scu: true, scp: true }),
                    UserVariableItem::ScuScpRoleSelectionSubItem(
                        "1.2.3".into(),
                        RequestorRoles { scu: true, scp: true },
                    ),
                    UserVariableItem::SopClassExtendedNegotiationSubItem(CT.into(), vec![2, 0, 0, 0, 0, 0]),
                    UserVariableItem::UserIdentityItem(WireIdentity::new(
                        true,
                        UserIdentityType::Username,
                        b"someone".to_vec(),
                        vec![],
                    )),
                ],
            ),
            &StoragePolicy,
            131_072,
        )
        .unwrap();

        assert_eq!(ours.max_fragment, MAX_FRAGMENT);
        assert_eq!(
            ours.accept.user_variables,
            [
                UserVariableItem::MaxLength(131_072),
                UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.into()),
                UserVariableItem::ImplementationVersionName("DOKUEI_0_1".into()),
                UserVariableItem::Unknown(ASYNCHRONOUS_OPERATIONS, vec![0, 1, 0, 1]),
                UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), RequestorRoles { scu: true, scp: false }),
                UserVariableItem::SopClassExtendedNegotiationSubItem(CT.into(), vec![2, 0, 3, 0, 0, 0]),
                UserVariableItem::Unknown(USER_IDENTITY_RESPONSE, vec![0, 0]),
            ]
        );
        assert!(ours.contexts.iter().all(|context| context.peer_is_scu));
    }

    proptest::proptest! {
        #[test]
        fn any_user_items_are_answered_within_what_was_asked(
            items in proptest::collection::vec((0x51u8..0x5b, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)), 0..20),
        ) {
            let count = items.len();
            let user_variables = items.into_iter().map(|(kind, bytes)| match kind {
                0x54 => UserVariableItem::ScuScpRoleSelectionSubItem(
                    if bytes.len() % 2 == 0 { CT.into() } else { String::from_utf8_lossy(&bytes).into_owned() },
                    RequestorRoles { scu: bytes.len() % 3 == 0, scp: bytes.len() % 5 == 0 },
                ),
                0x56 => UserVariableItem::SopClassExtendedNegotiationSubItem(CT.into(), bytes),
                _ => UserVariableItem::Unknown(kind, bytes),
            });
            let mut request = request(&[1, 3], user_variables.collect());
            request.presentation_contexts[1].abstract_syntax = "1.2.840.10008.9.9".into();
            let ours = negotiate(&request, &StoragePolicy, 131_072).unwrap();
            proptest::prop_assert!(ours.accept.user_variables.len() <= count + 3);
            proptest::prop_assert_eq!(ours.accept.presentation_contexts.len(), 2);
            crate::association_pdu::write_associate(&ours.accept.into()).unwrap();
        }
    }

    #[test]
    fn who_asks_for_nothing_is_answered_nothing() {
        let identity = WireIdentity::new(false, UserIdentityType::Username, b"someone".to_vec(), vec![]);
        let role = RequestorRoles { scu: false, scp: true };
        let ours = negotiate(
            &request(
                &[1],
                vec![
                    UserVariableItem::UserIdentityItem(identity),
                    UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), role),
                ],
            ),
            &StoragePolicy,
            65_536,
        )
        .unwrap();

        assert_eq!(ours.accept.user_variables.len(), 4);
        assert_eq!(
            ours.accept.user_variables.last(),
            Some(&UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), RequestorRoles { scu: false, scp: false }))
        );
        assert!(!ours.contexts[0].peer_is_scu);
    }
}
