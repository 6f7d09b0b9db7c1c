//! What stands around every page.

use dokuei_access::Session;
use dokuei_domain::Role;

use crate::{assets, text::Words, visitor::Visitor};

/// Header, menu and the names of the page's style and script.
pub(crate) struct Shell {
    pub(crate) lang: &'static str,
    /// For the style sheet and the script: which page it is.
    pub(crate) page: &'static str,
    pub(crate) dark: bool,
    pub(crate) who: Option<Who>,
    pub(crate) nav: Vec<Link>,
    pub(crate) organisation: String,
    pub(crate) version: String,
    /// Where the language switch comes back to.
    pub(crate) back: String,
    pub(crate) style_href: String,
    /// `None`: the front end was not built.
    pub(crate) script_href: Option<String>,
}

pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) role: &'static str,
}

pub(crate) struct Link {
    pub(crate) href: &'static str,
    pub(crate) label: &'static str,
    pub(crate) current: bool,
}

impl Shell {
    pub(crate) fn new(visitor: &Visitor, page: &'static str) -> Self {
        let settings = &visitor.state().settings;
        let role = visitor.session.as_ref().map(|session| session.role);
        Self {
            lang: visitor.t.language().as_str(),
            page,
            // Reading rooms are dark.
            dark: page == "reading" || role == Some(Role::Reader),
            who: visitor.session.as_ref().map(|session| Who::new(session, visitor.t)),
            nav: role.map(|role| menu(role, page, visitor.t)).unwrap_or_default(),
            organisation: settings.organisation.clone(),
            version: settings.version.clone(),
            // A page that came out of a form is not asked for again.
            back: if visitor.is_read() { visitor.path.clone() } else { "/".to_owned() },
            style_href: assets::style_href(),
            script_href: assets::script_href(),
        }
    }
}

impl Who {
    fn new(session: &Session, t: &Words) -> Self {
        Self { name: session.display_name.clone(), role: role_label(session.role, t) }
    }
}

pub(crate) fn role_label(role: Role, t: &Words) -> &'static str {
    match role {
        Role::Reader => t.role_reader,
        Role::Facility => t.role_facility,
        Role::Office => t.role_office,
        Role::Administrator => t.role_administrator,
    }
}

/// Where somebody of this role begins.
pub(crate) const fn home(role: Role) -> &'static str {
    match role {
        Role::Reader => "/worklist",
        Role::Facility => "/studies",
        Role::Office => "/office",
        Role::Administrator => "/admin",
    }
}

fn menu(role: Role, page: &'static str, t: &'static Words) -> Vec<Link> {
    let link = |href, label, name| Link { href, label, current: page == name };
    match role {
        Role::Reader => vec![link("/worklist", t.worklist, "worklist")],
        Role::Facility => vec![link("/studies", t.studies, "studies")],
        Role::Office => vec![
            link("/office", t.office, "office"),
            link("/office/storage", t.storage, "storage"),
            link("/studies", t.studies, "studies"),
        ],
        Role::Administrator => vec![link("/admin", t.administration, "admin")],
    }
}
