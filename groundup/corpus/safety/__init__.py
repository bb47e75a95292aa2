"""What a text may not say: personal data, and words that hurt.

safety.personal   groundup.corpus.safety.personal:Personal
safety.toxicity   groundup.corpus.safety.toxicity:ToxicityStep
"""
