"""All Streamlit code that is not a page: frame, parts, views. Nothing here loads a model."""
