import streamlit as st

st.title("judge_audit")
