"""The few style rules that Streamlit's theme cannot say. Where it names a colour, it is of the theme in config.toml."""

import streamlit as st

RULES = """<style>
.block-container, [data-testid="stMainBlockContainer"] {padding: 3.1rem 2.2rem 3rem;}
[data-testid="stSidebar"] {width: 220px !important; min-width: 0;}
.st-key-header [data-testid="stMetricValue"] {font-size: 1.25rem;}
.said {margin: 0; font-size: 1.05rem; line-height: 1.35;}
.said b {font-size: 2rem; line-height: 1.2; font-weight: 650;}
.said.wrong b {color: light-dark(#A3170F, #FF9C94);}
.said small {color: light-dark(#4D5661, #B7C0CC); font-size: .85rem;}
.answer {white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; margin: 0;}
.answer mark {background: #FFE08A; color: #1B1F24; padding: 0 .15em; border-radius: .2em;}
.answer ins {background: #CDEFD6; color: #0F4A20; text-decoration: underline; border-radius: .2em;}
.answer del {background: #FAD4D1; color: #7A120C; text-decoration: line-through; border-radius: .2em;}
.stMarkdownBadge {white-space: normal !important; max-width: 100%;}
.stMarkdown p, .stCaption p {overflow-wrap: anywhere;}
[data-testid="stCaptionContainer"] {opacity: .82;}
[data-testid="stCaptionContainer"] p, [data-testid="stCaptionContainer"] strong {color: inherit;}
button[data-selected="true"] p, [role="tab"][aria-selected="true"] p {color: light-dark(#0B5CAD, #8CC2FF);}
@media print {
  [data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stToolbar"], .stButton, .stDownloadButton,
  .st-key-header, .no-print {display: none !important;}
  [data-testid="stMain"], [data-testid="stAppViewContainer"], .stApp {position: static !important;
    overflow: visible !important; height: auto !important;}
  .st-key-case {break-inside: avoid;}
}
</style>"""


def apply() -> None:
    st.html(RULES)
