//! What a requestor proposes, and what the acceptor made of it.

use std::time::Duration;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResultReason, RequestorRoles,
    UserIdentity as WireIdentity, UserIdentityType, UserVariableItem,
};
use dokuei_domain::{AeTitle, SopClassUid, TransferSyntaxUid};

use super::AssociationError;
use crate::{
    APPLICATION_CONTEXT, ClientTls, ContextRejection, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME,
    ProtocolError, Roles, UserIdentity,
    association_pdu::{USER_IDENTITY_RESPONSE, trim_uid},
};

/// One association carries as many contexts as there are odd numbers in a byte (PS3.8 9.3.2.2).
pub(super) const MAX_CONTEXTS: usize = 128;
/// More would not fit the 16 bit length of a presentation context item.
const MAX_TRANSFER_SYNTAXES: usize = 900;

/// What to ask for.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    pub calling: AeTitle,
    pub called: AeTitle,
    /// 1 to 128.
    pub contexts: Vec<ProposedContext>,
    /// Largest P-DATA-TF we take, in bytes.
    pub max_pdu: u32,
    pub timeouts: RequestorTimeouts,
    pub user_identity: Option<UserIdentity>,
    /// SOP class extended negotiations to propose (PS3.7 D.3.3.5).
    pub extended: Vec<(SopClassUid, Vec<u8>)>,
    /// `None`: plain DICOM.
    pub tls: Option<ClientTls>,
}

impl RequestOptions {
    pub fn new(calling: AeTitle, called: AeTitle, contexts: Vec<ProposedContext>) -> Self {
        Self {
            calling,
            called,
            contexts,
            max_pdu: 131_072,
            timeouts: RequestorTimeouts::default(),
            user_identity: None,
            extended: Vec::new(),
            tls: None,
        }
    }
}

/// A SOP class with the transfer syntaxes it may be sent in, best first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ProposedContext {
    pub abstract_syntax: SopClassUid,
    pub transfer_syntaxes: Vec<TransferSyntaxUid>,
    /// Roles that we select (PS3.7 D.3.3.4), one choice for each SOP class; without it we are the user.
    pub roles: Option<Roles>,
}

impl ProposedContext {
    /// A context on which we are the user.
    pub const fn new(abstract_syntax: SopClassUid, transfer_syntaxes: Vec<TransferSyntaxUid>) -> Self {
        Self { abstract_syntax, transfer_syntaxes, roles: None }
    }

    #[must_use]
    pub const fn with_roles(mut self, roles: Roles) -> Self {
        self.roles = Some(roles);
        self
    }
}

/// How long a requestor waits.
#[derive(Clone, Copy, Debug)]
pub struct RequestorTimeouts {
    pub connect: Duration,
    /// For the answer to the association request, and to the release request.
    pub association: Duration,
    /// For the response to a message once it is sent, and for the peer to take each piece of it.
    pub response: Duration,
}

impl Default for RequestorTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            association: Duration::from_secs(30),
            response: Duration::from_secs(120),
        }
    }
}

/// What became of a proposed context.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NegotiatedContext {
    pub id: u8,
    pub abstract_syntax: SopClassUid,
    /// The one to use, or why there is none.
    pub transfer_syntax: Result<TransferSyntaxUid, ContextRejection>,
    /// What we may be. An acceptor that does not answer a role selection lets us be the user only.
    pub roles: Roles,
}

pub(super) fn association_request(options: &RequestOptions) -> Result<AssociationRQ, AssociationError> {
    let count = options.contexts.len();
    if count == 0 || count > MAX_CONTEXTS {
        return Err(AssociationError::ContextCount(count));
    }
    if options.contexts.iter().any(|context| !(1..=MAX_TRANSFER_SYNTAXES).contains(&context.transfer_syntaxes.len())) {
        return Err(AssociationError::Request("each presentation context needs 1 to 900 transfer syntaxes"));
    }
    let mut user_variables = vec![
        UserVariableItem::MaxLength(options.max_pdu),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ];
    for context in &options.contexts {
        let of_class = options.contexts.iter().find(|other| other.abstract_syntax == context.abstract_syntax);
        if let (Some(roles), true) = (context.roles, of_class.is_some_and(|first| std::ptr::eq(first, context))) {
            user_variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(
                context.abstract_syntax.to_string(),
                RequestorRoles { scu: roles.scu, scp: roles.scp },
            ));
        }
    }
    for (sop_class, information) in &options.extended {
        user_variables
            .push(UserVariableItem::SopClassExtendedNegotiationSubItem(sop_class.to_string(), information.clone()));
    }
    if let Some(identity) = &options.user_identity {
        user_variables.push(identity_item(identity)?);
    }
    Ok(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: options.calling.to_string(),
        called_ae_title: options.called.to_string(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: context_ids()
            .zip(&options.contexts)
            .map(|(id, context)| PresentationContextProposed {
                id,
                abstract_syntax: context.abstract_syntax.to_string(),
                transfer_syntaxes: context.transfer_syntaxes.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        user_variables,
    })
}

/// Brings the answer together with the question. A context that the acceptor does not mention is refused; a transfer syntax that was not proposed is
/// an error, because objects in it could not be sent.
pub(super) fn negotiated_contexts(
    options: &RequestOptions,
    accept: &AssociationAC,
) -> Result<Vec<NegotiatedContext>, ProtocolError> {
    let mut contexts = Vec::with_capacity(options.contexts.len());
    for (id, proposed) in context_ids().zip(&options.contexts) {
        let answer = accept.presentation_contexts.iter().find(|answer| answer.id == id);
        let transfer_syntax = match answer.map(|answer| (&answer.reason, trim_uid(&answer.transfer_syntax))) {
            None | Some((PresentationContextResultReason::NoReason, _)) => Err(ContextRejection::NoReason),
            Some((PresentationContextResultReason::UserRejection, _)) => Err(ContextRejection::UserRejection),
            Some((PresentationContextResultReason::AbstractSyntaxNotSupported, _)) => {
                Err(ContextRejection::AbstractSyntaxNotSupported)
            }
            Some((PresentationContextResultReason::TransferSyntaxesNotSupported, _)) => {
                Err(ContextRejection::TransferSyntaxesNotSupported)
            }
            Some((PresentationContextResultReason::Acceptance, chosen)) => {
                let known = proposed.transfer_syntaxes.iter().find(|ts| ts.as_str() == chosen);
                Ok(known
                    .cloned()
                    .ok_or(ProtocolError::MalformedPdu("acceptor chose a transfer syntax that was not proposed"))?)
            }
        };
        let abstract_syntax = proposed.abstract_syntax.clone();
        let roles = granted_roles(proposed.roles, &abstract_syntax, accept);
        contexts.push(NegotiatedContext { id, abstract_syntax, transfer_syntax, roles });
    }
    Ok(contexts)
}

/// What an acceptor leaves of the roles that we selected; it cannot add any.
fn granted_roles(proposed: Option<Roles>, abstract_syntax: &SopClassUid, accept: &AssociationAC) -> Roles {
    let answer = accept.user_variables.iter().find_map(|item| match item {
        UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles) if trim_uid(uid) == abstract_syntax.as_str() => {
            Some(Roles { scu: roles.scu, scp: roles.scp })
        }
        _ => None,
    });
    match (proposed, answer) {
        (Some(proposed), Some(answer)) => Roles { scu: proposed.scu && answer.scu, scp: proposed.scp && answer.scp },
        _ => Roles::USER,
    }
}

/// The service class application information of each SOP class that the acceptor answered.
pub(super) fn extended_answers(accept: &AssociationAC) -> Vec<(SopClassUid, Vec<u8>)> {
    let answer = |item: &UserVariableItem| match item {
        UserVariableItem::SopClassExtendedNegotiationSubItem(uid, information) => {
            Some((SopClassUid::parse(trim_uid(uid)).ok()?, information.clone()))
        }
        _ => None,
    };
    accept.user_variables.iter().filter_map(answer).collect()
}

/// The server response of the user identity negotiation, without its length field.
pub(super) fn user_identity_response(accept: &AssociationAC) -> Option<Vec<u8>> {
    accept.user_variables.iter().find_map(|item| match item {
        UserVariableItem::Unknown(USER_IDENTITY_RESPONSE, bytes) => Some(bytes.get(2..).unwrap_or_default().to_vec()),
        _ => None,
    })
}

/// 1, 3, 5 … 255.
fn context_ids() -> impl Iterator<Item = u8> {
    (1..=u8::MAX).step_by(2)
}

fn identity_item(identity: &UserIdentity) -> Result<UserVariableItem, AssociationError> {
    let kind = match identity.kind {
        1 => UserIdentityType::Username,
        2 => UserIdentityType::UsernamePassword,
        3 => UserIdentityType::KerberosServiceTicket,
        4 => UserIdentityType::SamlAssertion,
        5 => UserIdentityType::Jwt,
        _ => return Err(AssociationError::Request("user identity type must be 1 to 5")),
    };
    if identity.primary.len() + identity.secondary.len() > 60_000 {
        return Err(AssociationError::Request("user identity must be shorter than 60,000 bytes"));
    }
    let (primary, secondary) = (identity.primary.clone(), identity.secondary.clone());
    Ok(UserVariableItem::UserIdentityItem(WireIdentity::new(
        identity.positive_response_requested,
        kind,
        primary,
        secondary,
    )))
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::PresentationContextResult;

    use super::*;

    fn options(contexts: usize) -> RequestOptions {
        let context = ProposedContext::new(
            SopClassUid::parse("1.2.840.10008.1.1").unwrap(),
            vec![TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap()],
        );
        RequestOptions::new(AeTitle::parse("A").unwrap(), AeTitle::parse("B").unwrap(), vec![context; contexts])
    }

    #[test]
    fn at_most_128_contexts_with_odd_ids() {
        let request = association_request(&options(128)).unwrap();
        let ids: Vec<_> = request.presentation_contexts.iter().map(|context| context.id).collect();
        assert_eq!((ids.len(), ids[0], ids[1], ids[127]), (128, 1, 3, 255));
        for wrong in [0, 129, 130] {
            assert!(
                matches!(association_request(&options(wrong)), Err(AssociationError::ContextCount(count)) if count == wrong)
            );
        }
    }

    #[test]
    fn answers_are_matched_by_id() {
        let answer = |id, reason, ts: &str| PresentationContextResult { id, reason, transfer_syntax: ts.into() };
        let mut accept = AssociationAC {
            protocol_version: 1,
            calling_ae_title: String::new(),
            called_ae_title: String::new(),
            application_context_name: String::new(),
            presentation_contexts: vec![
                answer(3, PresentationContextResultReason::Acceptance, "1.2.840.10008.1.2\0"),
                answer(1, PresentationContextResultReason::AbstractSyntaxNotSupported, ""),
            ],
            user_variables: vec![],
        };
        let contexts = negotiated_contexts(&options(3), &accept).unwrap();

        let results: Vec<_> =
            contexts.iter().map(|context| context.transfer_syntax.as_ref().map(TransferSyntaxUid::as_str)).collect();
        assert_eq!(
            results,
            [
                Err(&ContextRejection::AbstractSyntaxNotSupported),
                Ok("1.2.840.10008.1.2"),
                Err(&ContextRejection::NoReason)
            ]
        );
        accept.presentation_contexts =
            vec![answer(1, PresentationContextResultReason::Acceptance, "1.2.840.10008.1.2.4.50")];
        assert!(negotiated_contexts(&options(1), &accept).is_err());
    }
}
