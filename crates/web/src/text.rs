//! Every sentence of the pages, in Japanese and English, side by side.
//!
//! A text that is missing in one language does not compile; a test looks for empty ones and for placeholders (`{name}`) that differ.

use dokuei_access::Language;

macro_rules! texts {
    ($($name:ident: $japanese:literal, $english:literal;)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub struct Words {
            $(pub $name: &'static str,)*
        }

        /// Japanese.
        pub static JAPANESE: Words = Words { $($name: $japanese,)* };
        /// English.
        pub static ENGLISH: Words = Words { $($name: $english,)* };

        /// Name, Japanese, English.
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $japanese, $english),)*];
    };
}

impl Words {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Japanese => &JAPANESE,
            Language::English => &ENGLISH,
        }
    }

    pub fn language(&self) -> Language {
        if self.other_language_code == "en" { Language::Japanese } else { Language::English }
    }
}

/// Puts values into a text: each `{name}` is replaced.
pub(crate) fn fill(text: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let mut out = text.to_owned();
    for (name, value) in values {
        out = out.replace(&format!("{{{name}}}"), &value.to_string());
    }
    out
}

texts! {
    // The frame of every page
    other_language_code: "en", "ja";
    other_language: "English", "日本語";
    skip_to_content: "本文へ", "Skip to content";
    navigation: "メニュー", "Menu";
    sign_in: "サインイン", "Sign in";
    sign_out: "サインアウト", "Sign out";
    signed_out: "サインアウトされました。別のウィンドウでサインインし直すと、入力を続けられます。", "You were signed out. Sign in again in another window to go on writing.";
    not_saved: "まだ保存されていません。", "Not saved yet.";
    account_page: "アカウント設定", "Your account";
    role_reader: "読影医", "reader";
    role_facility: "依頼施設", "facility";
    role_office: "事務局", "office";
    role_administrator: "管理者", "administrator";
    back_to_list: "一覧へ戻る", "Back to the list";
    back: "戻る", "Back";
    home: "最初のページへ", "To the first page";
    open: "開く", "Open";
    cancel: "やめる", "Cancel";
    reason: "理由", "Reason";
    state: "状態", "State";
    ended: "終了", "Ended";
    loading: "読み込み中…", "Loading…";

    // Signing in
    account: "アカウント", "Account";
    password: "パスワード", "Password";
    code: "認証コード", "Code";
    code_hint: "認証アプリの6桁のコード、またはリカバリーコード", "The six digits of your authenticator, or a recovery code";
    code_fresh: "認証コード(6桁)", "Code (six digits)";
    code_fresh_hint: "一度使ったコードは使えません。サインインに使った場合は、次のコードを待ってください。", "A code works once. If you used it to sign in, wait for the next one.";
    signed_out_notice: "サインアウトしました。", "You are signed out.";
    sign_in_first: "続けるにはサインインしてください。", "Sign in to go on.";
    password_changed: "パスワードを変更しました。新しいパスワードでサインインしてください。", "The password was changed. Sign in with the new one.";

    // Lists
    worklist: "読影リスト", "Worklist";
    view_open: "未読影", "To read";
    view_finished: "読影済", "Finished";
    group_mine: "読影中", "In your hands";
    group_assigned: "自分の担当", "Assigned to you";
    group_free: "担当者なし", "Free to take";
    group_finished: "読影済", "Finished";
    no_open_cases: "読影待ちの依頼はありません。", "There is nothing to read.";
    no_finished_cases: "この31日間に確定したレポートはありません。", "You have signed no report in the last 31 days.";
    priority: "優先度", "Priority";
    priority_emergency: "緊急", "Emergency";
    priority_urgent: "至急", "Urgent";
    priority_routine: "通常", "Routine";
    patient: "患者", "Patient";
    patient_id: "患者ID", "Patient ID";
    birth_date: "生年月日", "Birth date";
    sex: "性別", "Sex";
    sex_male: "男", "M";
    sex_female: "女", "F";
    sex_other: "その他", "Other";
    years: "{n}歳", "{n} y";
    months: "{n}か月", "{n} mo";
    unnamed: "(氏名なし)", "(no name)";
    examination: "検査", "Examination";
    images: "画像", "Images";
    facility: "依頼施設", "Facility";
    waiting: "待ち時間", "Waiting";
    waiting_minutes: "{minutes}分", "{minutes} min";
    waiting_hours: "{hours}時間{minutes}分", "{hours} h {minutes} min";
    waiting_days: "{days}日{hours}時間", "{days} d {hours} h";
    due: "期限", "Due";
    overdue: "期限超過", "overdue";
    assigned: "担当", "Assigned";
    nobody: "なし", "nobody";
    claim: "読影する", "Read";
    continue_reading: "続ける", "Continue";
    report: "レポート", "Report";
    no_request: "依頼内容なし", "no request";
    images_added: "確定後に画像追加", "images came after signing";
    provisional: "仮患者", "provisional patient";
    provisional_hint: "患者IDが空、仮、または他施設のもののため、この検査だけの患者として扱っています。", "The patient ID is empty, a placeholder or another facility's; the patient stands for this study only.";
    repaired: "文字修復", "text repaired";
    repaired_hint: "宣言された文字集合に合わない文字を修復して表示しています。原本の氏名を確認してください。", "Characters did not fit their declared character set and were repaired for display. Check the name against the original.";
    command_line: "コマンド", "command line";
    differs: "要本人確認", "check identity";
    differs_hint: "同じ患者IDで、以前に別の氏名・生年月日・性別が送られています。依頼元に確認してください。", "Another name, birth date or sex was sent under this patient ID before. Ask the requesting facility.";
    incomplete_hint: "受信した枚数が通知された枚数より少ないか、まだ受信中です。", "Fewer images than announced, or images are still arriving.";

    // A case
    case: "読影依頼", "Case";
    cases: "読影依頼", "Cases";
    opened: "受付", "Opened";
    being_read_by: "読影者", "Read by";
    claim_until: "確保期限", "held until";
    assignment_reasons: "割当の理由", "Why this reader";
    assign: "割り当てる", "Assign";
    reader: "読影医", "Reader";
    let_node_choose: "自動で選ぶ", "Let the node choose";
    off_duty: "新規受付停止中", "takes no new cases";
    request: "依頼内容", "Request";
    clinical_question: "臨床情報・検査目的", "Clinical question";
    callback_number: "連絡先電話番号", "Call-back number";
    callback_hint: "緊急の所見があるとき、読影医がこの番号に電話します。", "The reader calls this number about urgent findings.";
    physician: "依頼医", "Requesting physician";
    entered: "入力", "Entered";
    studies: "検査一覧", "Studies";
    study: "検査", "Study";
    study_date: "検査日", "Study date";
    modality: "モダリティ", "Modality";
    body_part: "部位", "Body part";
    description: "検査名", "Description";
    accession_number: "受付番号", "Accession number";
    series: "シリーズ", "Series";
    series_count: "シリーズ数", "Series";
    last_received: "最終受信", "Last received";
    withdrawn: "取消", "withdrawn";
    history: "履歴", "History";
    version: "版", "Version";
    report_versions: "レポート", "Reports";
    no_report: "確定したレポートはまだありません。", "No report has been signed yet.";
    workitem_scheduled: "読影待ち", "scheduled";
    workitem_in_progress: "読影中", "in progress";
    workitem_completed: "完了", "completed";
    workitem_canceled: "中止", "canceled";

    // Reading
    reading: "読影", "Reading";
    window: "階調", "Window";
    window_default: "既定", "Default";
    window_brain: "脳", "Brain";
    window_lung: "肺", "Lung";
    window_mediastinum: "縦隔", "Mediastinum";
    window_bone: "骨", "Bone";
    viewport_hint: "画像。ホイールまたは矢印キーで送り、数字キーで階調を選びます。", "Images. Scroll with the wheel or the arrow keys; choose a window with the number keys.";
    image_failed: "画像を表示できません", "the image cannot be shown";
    not_for_diagnosis: "参照用表示", "Reference display";
    front_end_missing: "画像表示と自動保存の部品が組み込まれていません。管理者に連絡してください(crates/web/ui で npm ci と npm run build を実行して作り直します)。", "The viewer and the editor's autosave are not part of this build. Tell the administrator: run npm ci and npm run build in crates/web/ui and build again.";
    findings: "所見", "Findings";
    impression: "診断", "Impression";
    recommendation: "推奨", "Recommendation";
    draft_saved: "保存済み", "Saved";
    draft_unsaved: "未保存", "Not saved yet";
    draft_saving: "保存中…", "Saving…";
    draft_offline: "接続できません。入力は残っています。再試行します。", "No connection. Your text is kept here and will be sent again.";
    draft_refused: "保存できません", "Cannot be saved";
    release: "手放す", "Give back";
    sign: "確定・署名…", "Sign…";
    sign_title: "この患者のレポートを確定します", "Sign the report of this patient";
    sign_now: "署名して確定", "Sign";
    sign_incomplete: "画像がそろっていない可能性があります。", "Images may be missing.";
    sign_incomplete_confirm: "受信済みの画像だけで確定することを確認しました(記録されます)", "I sign on the images received (this is recorded)";
    previous_report: "前の版", "Earlier version";

    // A report
    report_superseded: "この版より新しい版があります。", "There is a newer version of this report.";
    open_latest: "最新版を開く", "Open the latest version";
    signed_by: "署名", "Signed by";
    signed_at: "署名日時", "Signed at";
    verification: "署名検証", "Verification";
    verified: "署名とすべてのファイルは署名時のままです。", "The signature is valid and every file is as it was signed.";
    not_verified: "検証に失敗しました。このレポートを使わず、事務局に連絡してください。", "Verification failed. Do not use this report; tell the office.";
    checks: "検証した項目", "What was checked";
    check_manifest: "署名対象一覧が読める", "the manifest can be read";
    check_manifest_hash: "署名対象一覧が索引と一致", "the manifest is the one in the index";
    check_signature: "電子署名が有効", "the signature is valid";
    check_signer: "署名者が作成者本人", "the signer is the author";
    check_structured_report: "構造化レポートが署名時のまま", "the structured report is as signed";
    check_encapsulated_pdf: "PDFが署名時のまま", "the PDF is as signed";
    check_stored_structured_report: "保存された構造化レポート", "the stored structured report";
    check_stored_encapsulated_pdf: "保存されたPDF", "the stored PDF";
    check_stored_manifest: "保存された署名対象一覧", "the stored manifest";
    check_stored_signature: "保存された署名", "the stored signature";
    check_evidence: "読影した画像がすべて署名時のまま", "every image that was read is as it was";
    check_index: "索引が署名対象一覧と一致", "the index agrees with the manifest";
    certificate: "証明書番号", "Certificate";
    files: "ファイル", "Files";
    file_structured_report: "DICOM 構造化レポート (SR)", "DICOM Structured Report";
    file_pdf: "PDF", "PDF";
    file_encapsulated_pdf: "DICOM PDF", "DICOM Encapsulated PDF";
    file_manifest: "署名対象一覧 (manifest)", "Manifest";
    file_signature: "署名 (CMS)", "Signature (CMS)";
    deliveries: "返送", "Return";
    no_deliveries: "返送先の登録がありません。このページからダウンロードできます。", "The facility has no system that reports are sent to. They can be downloaded here.";
    delivery_queued: "送信待ち", "queued";
    delivery_sent: "送信済", "sent";
    delivery_accepted: "送達", "delivered";
    delivery_failed: "送信失敗", "failed";
    next_attempt: "次の送信 {time}", "next attempt {time}";
    accepted_at: "{time} 受領", "accepted {time}";
    attempts: "送信回数", "Attempts";
    attempt_running: "送信中", "under way";
    attempt_accepted: "受領", "accepted";
    attempt_refused: "拒否", "refused";
    attempt_unreachable: "接続不可", "unreachable";
    attempt_aborted: "中断", "aborted";
    attempt_timed_out: "応答なし", "timed out";
    attempt_interrupted: "途中停止", "interrupted";
    attempt_failed: "失敗", "failed";
    recipient: "送信先", "Recipient";
    retry: "再試行", "Try again";

    // A facility's studies
    no_studies: "受信した検査はまだありません。", "No study has been received yet.";
    search: "検索", "Search";
    search_text: "患者氏名・患者ID・受付番号", "Patient name, patient ID or accession number";
    search_hint: "漢字・かな・ローマ字のどれでも、先頭の文字だけでも検索できます。", "Kanji, kana or romaji; the beginning is enough.";
    search_from: "検査日 から", "Study date from";
    search_to: "まで", "to";
    search_clear: "条件を消す", "Clear";
    no_studies_found: "条件に合う検査はありません。", "No study matches.";
    studies_limited: "新しい順に{n}件を表示しています。ほかの検査は条件を加えて検索してください。", "The latest {n} are shown. Search more narrowly for the others.";
    reception: "受信", "Reception";
    study_receiving: "受信中", "receiving";
    study_settled: "受信完了", "received";
    study_withdrawn: "取消", "withdrawn";
    not_for_reading: "読影対象外", "not for reading";
    case_follows: "受信完了後に受付", "opens when reception ends";
    declared_complete: "送信完了の連絡", "declared complete";
    declare_complete: "送信完了", "Sending is complete";
    declare_hint: "この検査の画像をすべて送り終えたら押してください。すぐに読影へ回ります。", "Press when all images of this study were sent. It goes to the readers at once.";
    withdraw: "取消", "Withdraw";
    withdraw_hint: "患者や検査を間違えて送った場合に取り消します。", "For a study that was sent for the wrong patient or by mistake.";
    withdraw_title: "この検査を取り消します", "Withdraw this study";
    withdraw_warning: "取り消すと、この検査の画像とレポートは誰にも表示されなくなり、元に戻せません。記録は監査のため保存されます。", "Images and reports of a withdrawn study are shown to nobody any more, and it cannot be brought back. It is kept for the audit.";
    withdraw_confirm: "患者と検査を確認しました", "I have checked patient and study";
    withdrawal_reason: "取消の理由", "Why it is withdrawn";
    save_request: "依頼内容を保存", "Save the request";
    request_saved: "依頼内容を保存しました。", "The request was saved.";
    complete_saved: "送信完了を受け付けました。", "The study was declared complete.";
    withdraw_saved: "検査を取り消しました。", "The study was withdrawn.";

    // Office
    office: "事務局", "Office";
    overview: "概況", "Overview";
    tile_open: "未読影", "to be read";
    tile_overdue: "期限超過", "overdue";
    tile_unassigned: "担当者なし", "without a reader";
    failed_deliveries: "返送できていないレポート", "Reports not returned";
    no_failed_deliveries: "返送に失敗したレポートはありません。", "No return has failed.";
    no_cases: "読影依頼はまだありません。", "There are no cases yet.";
    quarantine: "隔離された画像", "Quarantine";
    quarantine_hint: "送信元には失敗を返しました。内容を確認し、取り込むか破棄してください。", "The sender was told that these failed. Look at them, then release or reject.";
    no_quarantine: "隔離された画像はありません。", "Nothing is in quarantine.";
    quarantine_same_uid: "同じSOP Instance UIDで内容の異なる画像が保存済み", "an object with this SOP Instance UID is stored already and its content differs";
    quarantine_other_patient: "この検査は同じ施設の別の患者として保存済み", "the study is filed under another patient of this facility";
    quarantine_other_study: "このシリーズは別の検査に保存済み", "the series is filed in another study";
    quarantine_withdrawn: "施設が取り消した検査に届いた画像", "the facility has withdrawn the study";
    quarantine_facts_differ: "生年月日または性別が同じ検査の他の画像と異なる", "birth date or sex differ from the other objects of the study";
    quarantine_missing_uid: "必要なUIDがない", "a UID that it is filed by is missing";
    quarantine_illegal_uid: "UIDの形式が正しくない", "a UID breaks the rules";
    quarantine_illegal_value: "識別に使う値が長すぎる", "an identifying value is too long";
    quarantine_unreadable: "DICOMデータとして読めない", "it cannot be read as a data set";
    quarantine_disagrees: "通知されたUIDと中身のUIDが異なる", "its UIDs are not those that the sender announced";
    quarantined_object: "隔離された画像", "Quarantined object";
    stored_study: "保存済みの検査", "Stored study";
    content_hash: "内容のハッシュ", "Hash of the content";
    size: "大きさ", "Size";
    decide: "確認", "Decide";
    decision_reason: "判断の理由(必須・記録されます)", "Reason for the decision (required, recorded)";
    quarantine_answers: "「取り込む」と検査の一部になります。「破棄」してもファイルは監査のため保管され、どこにも表示されません。", "Released, it becomes part of the study. Rejected, it is kept for the audit and shown nowhere.";
    release_object: "取り込む", "Release";
    reject_object: "破棄", "Reject";
    released: "取り込み済み", "released";
    rejected: "破棄済み", "rejected";
    release_never_same_uid: "同じUIDの別の内容は取り込めません。施設に、新しいUIDで送り直すよう依頼してください。", "Two contents of one UID cannot both be shown: ask the facility to send it under a UID of its own.";
    release_never_mixes: "取り込むと別の患者または別の検査の画像が混ざるため、取り込めません。施設に連絡してください。", "Releasing it would mix two patients or two studies. Call the facility.";
    release_own_report: "当方で署名したレポートのため、取り込む必要はありません。", "It is a report signed here; there is nothing to release.";
    release_unreadable: "このままでは取り込めません。", "It cannot be filed as it is.";
    refused_not_kept: "保管せずに拒否した画像(直近7日)", "Refused and not kept (last 7 days)";
    last_time: "最終", "Last";
    already_decided: "すでに他の人が判断しました。", "Somebody has decided already.";
    reason_missing: "理由を{limit}文字以内で入力してください。", "Give a reason of at most {limit} characters.";
    stays_in_quarantine: "取り込めませんでした。隔離したままです。", "It could not be released and stays in quarantine.";

    // The office: studies that contradict their patient
    holds: "本人確認待ちの検査", "Studies to be identified";
    no_holds: "本人確認待ちの検査はありません。", "No study waits to be identified.";
    hold_title: "本人確認", "Whose study is this?";
    hold_hint: "同じ患者IDで生年月日または性別が異なります。判断するまで読影には回りません。", "The same patient ID with another birth date or sex. Nobody reads it before you decide.";
    hold_birth_date: "生年月日が異なる", "birth date differs";
    hold_sex: "性別が異なる", "sex differs";
    hold_both: "生年月日と性別が異なる", "birth date and sex differ";
    hold_this_study: "この検査", "This study";
    hold_known_as: "これまでの登録", "Known so far";
    hold_answers: "「同一人物」はこのまま読影へ進みます。「別人」はこの検査だけの患者として扱い、過去画像と結び付けません。「受け付けない」は取消と同じ扱いです。", "Same person: it goes on as it is. Another person: a patient of this study alone, without priors. Reject: hidden like a withdrawn study.";
    hold_same_person: "同一人物", "Same person";
    hold_another_person: "別人", "Another person";
    hold_reject: "受け付けない", "Reject";
    study_held: "本人確認待ち", "to be identified";
    name: "氏名", "Name";
    kana: "カナ", "Kana";
    romaji: "ローマ字", "Romaji";

    received: "受信", "Received";
    calling_aet: "送信元AE", "Calling AE";
    dead_jobs: "停止した処理", "Work that has stopped";
    no_dead_jobs: "停止した処理はありません。", "No background work has stopped.";

    // The office: stored objects
    storage: "画像の保管", "Stored objects";
    storage_tile: "保管の異常", "storage problems";
    storage_hint: "保存した画像とレポートは定期的に読み直し、受信時のハッシュと照合しています。異常のあるファイルは削除しません。", "Stored images and reports are read again regularly and compared with the hash of their receipt. What is damaged is never deleted.";
    storage_damages: "異常のあるファイル", "Damaged objects";
    no_storage_damages: "異常のあるファイルはありません。", "Nothing is damaged.";
    storage_dealt_with: "対応済み", "Dealt with";
    storage_space: "空き容量", "Free space";
    storage_walks: "点検の状況", "Checks";
    storage_place: "場所", "Place";
    storage_place_store: "画像ストア", "image store";
    storage_place_copy: "第二コピー", "second copy";
    storage_place_database: "データベース", "database";
    storage_free: "空き", "Free";
    storage_mark: "受信を止める残量", "Refused below";
    storage_low: "容量不足のため受信を停止中", "short of space: nothing is received";
    storage_ample: "受信可", "room for more";
    storage_unknown: "不明(S3)", "not told (S3)";
    storage_found: "発見", "Found";
    storage_object: "ファイル", "Object";
    storage_what: "異常", "What is wrong";
    storage_missing: "ファイルがありません", "missing";
    storage_altered: "内容が受信時と異なります", "not what was received";
    storage_head_altered: "ヘッダが保存時と異なります", "its header was changed";
    storage_unreadable: "読み取れません", "cannot be read";
    storage_not_adopted: "索引に登録できないファイル", "cannot be put into the index";
    storage_verify: "読み直す", "Read again";
    storage_repair: "もう一方から復元", "Repair from the other place";
    storage_accept: "復元不能として記録", "Record as lost";
    storage_accept_reason: "理由と対応(例: 施設に再送を依頼)", "Reason and what was done, such as: asked the facility to send again";
    storage_repaired: "復元済み", "sound again";
    storage_accepted: "復元不能", "lost";
    storage_scrub: "読み直し", "Reading again";
    storage_scrub_running: "{time} 開始。{n}件 {size} を確認済み(第二コピー {copies}件)", "since {time}: {n} objects, {size} (and {copies} copies)";
    storage_scrub_done: "{time} に全{n}件 {size} を確認", "all {n} objects, {size}, by {time}";
    storage_scrub_slow: "予定の日数で終わりません。設定 image_store.scrub_bytes_per_second を上げてください。", "Not done in time: raise image_store.scrub_bytes_per_second.";
    storage_reconcile: "索引との照合", "Comparison with the index";
    storage_reconcile_done: "{time} までの受信分を照合済み。全体の照合: {full}", "everything received until {time}; as a whole: {full}";
    storage_reports_unindexed: "索引にない署名済みレポートが{n}件あります。サーバーで dokuei rebuild-index を実行してください。", "{n} signed reports are not in the index: run dokuei rebuild-index on the server.";
    storage_copy: "第二コピー", "Second copy";
    storage_no_copy: "設定されていません(image_store.copy_url)。", "Not configured (image_store.copy_url).";
    storage_copy_complete: "すべてコピー済み", "everything is copied";
    storage_copy_waiting: "{n}件 {size} がコピー待ち(最も古いもの {time} 受信)", "{n} objects, {size}, wait; the oldest was received {time}";
    storage_never: "まだ行っていません", "not yet";
    storage_said_sound: "読み直したところ正常でした。", "It was read again and is sound.";
    storage_said_repaired: "復元しました。異常のあったファイルは別の場所に残しています。", "Repaired. The damaged object was set aside.";
    storage_said_still: "読み直しましたが、異常のままです。", "It was read again and is still damaged.";
    storage_said_accepted: "復元不能として記録しました。", "Recorded as lost.";
    storage_said_gone: "この異常はすでに対応済みです。", "This was dealt with already.";
    storage_said_no_better: "もう一方のファイルも正常ではないため、復元できません。", "The other place has no sound object either.";
    storage_said_no_copy: "第二コピーがないか、応答しません。", "There is no second copy, or it does not answer.";
    storage_said_failed: "復元できませんでした。ログを確認してください。", "It could not be repaired; the log says why.";
    work: "処理", "Work";

    // Administration
    administration: "管理", "Administration";
    approvals: "二者承認", "Approvals by two administrators";
    approvals_hint: "パスワードと認証アプリの両方を失った人の再登録は、管理者二名の承認が必要です。読影医には新しい証明書が発行されます。", "Who has lost password and authenticator is enrolled anew when two administrators agree. A reader gets a new certificate.";
    no_approvals: "承認待ちはありません。", "Nothing waits for an approval.";
    requested_by: "申請者", "Asked for by";
    granted_by: "承認者", "Granted by";
    waits_for_second: "別の管理者の承認待ち", "waits for another administrator";
    link_valid_until: "リンクの期限", "link valid until";
    grant: "承認", "Grant";
    refuse: "却下", "Refuse";
    request_reenrolment: "再登録の申請", "Ask for a re-enrolment";
    request_now: "申請", "Ask";
    granted: "承認しました", "Granted";
    granted_hint: "次のリンクを本人に直接渡してください。一度だけ使えます。", "Hand this link to the person. It works once.";
    shown_once: "この内容は一度しか表示されません。", "This is shown only once.";
    accounts: "アカウント一覧", "Accounts";
    display_name: "名称", "Name";
    role: "役割", "Role";
    reader_facts: "読影医情報", "As a reader";
    certificate_until: "証明書 {date} まで", "certificate until {date}";
    no_certificate: "証明書なし", "no certificate";
    always_on_duty: "常時", "always";
    recovery_codes_left: "残りリカバリーコード", "Recovery codes left";
    enabled: "有効", "enabled";
    disabled: "停止", "disabled";
    enable: "再開", "Enable";
    disable: "停止する", "Disable";
    add_accounts_hint: "追加と変更はサーバーのコマンドで行います: dokuei reader add、dokuei user add", "Accounts are added and changed on the server: dokuei reader add, dokuei user add";
    facilities: "依頼施設一覧", "Facilities";
    no_facilities: "依頼施設の登録がありません。", "No facility is registered.";
    issuer: "患者ID発行者", "Issuer of patient IDs";
    peers: "送信元", "Peers";
    return_targets: "返送先", "Return targets";
    add_facilities_hint: "追加と変更はサーバーのコマンドで行います: dokuei facility add、dokuei facility edit", "Facilities are added and changed on the server: dokuei facility add, dokuei facility edit";

    // Enrolment and one's own account
    enrolment: "登録", "Enrolment";
    enrolment_intro: "新しいパスワード、認証アプリの秘密鍵、リカバリーコードを発行します。以前のものは使えなくなります。認証アプリと筆記具を用意してから進んでください。", "You will get a new password, a new authenticator secret and new recovery codes. The old ones stop working. Have your authenticator and something to write ready.";
    enrol_now: "発行する", "Enrol now";
    totp_secret: "認証アプリの秘密鍵", "Authenticator secret";
    totp_hint: "認証アプリで次のQRコードを読み取ってください。", "Scan this QR code with your authenticator.";
    totp_qr: "認証アプリのQRコード", "QR code for the authenticator";
    recovery_codes: "リカバリーコード", "Recovery codes";
    recovery_hint: "認証アプリが使えないとき、サインインに一つずつ使えます。紙に控えて安全な場所に保管してください。", "When the authenticator is not at hand, each signs you in once. Keep them on paper in a safe place.";
    renew_recovery_codes: "新しく発行する", "Issue new ones";
    new_certificate: "新しい署名証明書", "New signing certificate";
    change_password: "パスワードを変更", "Change the password";
    change_password_hint: "変更すると、すべての端末でサインアウトします。", "You will be signed out everywhere.";
    old_password: "今のパスワード", "Present password";
    new_password: "新しいパスワード", "New password";
    new_password_again: "新しいパスワード(確認)", "New password, again";

    // Refusals
    problem_title: "処理できませんでした", "This did not work";
    not_found_title: "見つかりません", "Not found";
    not_found: "そのページはないか、表示する権限がありません。", "There is no such page, or it is not for you.";
    session_ended: "サインインの有効期限が切れました。サインインし直してください。", "Your session has ended. Sign in again.";
    cross_site: "別のサイトからの操作のため受け付けませんでした。このページから操作し直してください。", "The request came from another site and was refused. Do it again from this page.";
    bad_request: "送信された内容を読み取れませんでした。", "What was sent could not be read.";
    too_large: "送信された内容が大きすぎます。", "What was sent is too large.";
    method_not_allowed: "この操作はここでは行えません。", "This cannot be done here.";
    unavailable: "一時的に処理できません。少し待ってからもう一度お試しください。", "This does not work at the moment. Wait a little and try again.";
    wrong_credentials: "アカウント、パスワード、認証コードのいずれかが正しくないか、使用済みのコードか、アカウントが停止されています。", "Account, password or code is wrong, the code was used before, or the account is disabled.";
    wrong_step_up: "パスワードまたは認証コードが正しくありません。", "Password or code is wrong.";
    replayed_code: "この認証コードは使用済みです。次のコードを待って入力してください。", "This code was used before. Wait for the next one.";
    too_many_attempts: "失敗が続いたため、しばらく受け付けません。{minutes}分後にもう一度お試しください。", "Too many failed attempts. Try again in {minutes} min.";
    account_disabled: "アカウントは停止されています。管理者に連絡してください。", "The account is disabled. Ask an administrator.";
    link_invalid: "このリンクは期限切れか、使用済みか、正しくありません。", "This link has expired, was used before, or never existed.";
    no_signing_certificate: "署名証明書がありません。管理者に連絡してください。", "You have no signing certificate. Ask an administrator.";
    certificate_expired: "署名証明書の期限が切れています。管理者二名による再登録が必要です。", "Your signing certificate has expired. Two administrators must enrol you anew.";
    claim_lost: "この依頼の確保は終了しています。一覧からもう一度読影を始めてください。入力済みの下書きは残っています。", "You no longer hold this case. Open it again from the worklist; the saved draft is kept.";
    claimed_by_other: "{reader} が読影中です。", "{reader} is reading this case.";
    claimed_elsewhere: "別の端末で確保されています。その端末で続けるか、手放してください。", "You hold this case from another workstation. Go on there, or give it back there.";
    assigned_to_other: "{reader} の担当です。{time} までに読影が始まらなければ、ほかの読影医も読影できます。", "Assigned to {reader}. It is free for others if it is not taken by {time}.";
    already_in_progress: "すでに読影が始まっています。", "Somebody is reading this case already.";
    no_longer_open: "この依頼はすでに終了しています。", "This case is finished already.";
    case_withdrawn: "この検査は施設が取り消しました。", "The facility has withdrawn this study.";
    only_readers: "読影医のアカウントでのみ行えます。", "Only a reader can do this.";
    lacks_skill: "対応モダリティ外です({modalities})。事務局に割り当てを依頼してください。", "This case needs a reader for {modalities}. Ask the office to assign it.";
    reader_not_found: "その読影医は登録がないか、停止されています。", "The reader does not exist or is disabled.";
    text_too_long: "入力が長すぎます({limit}文字まで)。", "The text is too long ({limit} characters at most).";
    draft_conflict: "別のウィンドウで保存された内容", "Saved in another window";
    incomplete_not_confirmed: "画像がそろっていない可能性があります。確認欄にチェックしてください。", "Images may be missing. Tick the confirmation.";
    report_empty: "所見または診断を入力してください。", "Write findings or an impression first.";
    glyph_missing: "印刷用フォントにない文字があります: {characters}。別の文字に置き換えてください。", "The printed page cannot show these characters: {characters}. Use others.";
    no_images: "画像がないため確定できません。", "There are no images to report on.";
    images_kept_arriving: "署名中に画像が届き続けました。もう一度署名してください。", "Images kept arriving while you signed. Sign again.";
    outcome_unknown: "署名が完了したか確認できません。もう一度署名する前に、この依頼のレポート欄を確認してください。", "Whether the report was signed is not known. Look at the case before you sign again.";
    nothing_to_retry: "この返送は再試行できる状態ではありません。", "This delivery is not in a state that can be tried again.";
    image_unsupported: "この画像形式は表示できません。ワークステーションで確認してください。", "This kind of image cannot be shown here. Use a workstation.";
    image_malformed: "画像データに矛盾があるため表示しません。", "The image contradicts itself and is not shown.";
    image_too_large: "画像が大きすぎて表示できません。ワークステーションで確認してください。", "The image is too large to be shown here. Use a workstation.";
    image_corrupt: "保存された画像が受信時と異なります。事務局に連絡してください。", "The stored image is not what was received. Tell the office.";
    last_administrator: "最後の管理者は停止できません。", "The last administrator cannot be disabled.";
    same_administrator: "申請した本人は承認できません。別の管理者が承認してください。", "Another administrator must grant what you have asked for.";
    approval_decided: "この申請はすでに処理されています。", "This has been decided already.";
    approval_waiting: "このアカウントの申請はすでに承認待ちです。", "A request for this account waits already.";
    unknown_account: "そのアカウントはありません。", "There is no such account.";
    unknown_approval: "その申請はありません。", "There is no such request.";
    token_invalid: "このリンクは期限切れか、使用済みか、正しくありません。管理者に再発行を依頼してください。", "This link has expired, was used before, or never existed. Ask the administrators for a new one.";
    password_too_short: "パスワードは{minimum}文字以上にしてください。", "The password must have at least {minimum} characters.";
    password_too_long: "パスワードが長すぎます。", "The password is too long.";
    password_is_account: "パスワードはアカウント名と異なるものにしてください。", "The password must differ from the account.";
    passwords_differ: "新しいパスワードが一致しません。", "The new passwords differ.";
    invalid_text: "入力を確認してください。{rule}", "Check what you typed: {rule}";
    short_text_rule: "1〜64文字、改行なし", "1 to 64 characters, no line breaks";
    changed_meanwhile: "ほかの人が同時に変更しました。もう一度お試しください。", "Somebody else changed this meanwhile. Try again.";
    needs_administrator: "管理者二名がそれぞれのアカウントで行う必要があります。", "This needs two administrators with their own accounts.";
    confirm_first: "確認欄にチェックし、理由を入力してください。", "Tick the confirmation and give a reason.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_text_exists_in_both_languages() {
        for (name, japanese, english) in ALL {
            assert!(!japanese.trim().is_empty() && !english.trim().is_empty(), "{name} is empty");
            assert_eq!(placeholders(japanese), placeholders(english), "{name} has other placeholders");
        }
    }

    #[test]
    fn each_text_is_in_its_own_language() {
        let names_of_things = ["other_language", "other_language_code", "file_pdf", "file_encapsulated_pdf"];
        for (name, japanese, english) in ALL.iter().filter(|(name, ..)| !names_of_things.contains(name)) {
            assert!(!japanese.is_ascii(), "{name} is not Japanese: {japanese}");
            let is_latin = |c: char| c.is_ascii() || c == '…';
            assert!(english.chars().all(is_latin), "{name} is not English: {english}");
        }
    }

    #[test]
    fn a_language_knows_itself() {
        for language in [Language::Japanese, Language::English] {
            assert_eq!(Words::of(language).language(), language);
        }
    }

    #[test]
    fn values_are_put_in_their_places() {
        assert_eq!(fill(ENGLISH.waiting_hours, &[("hours", &2), ("minutes", &5)]), "2 h 5 min");
    }
}
