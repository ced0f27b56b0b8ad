"""Model extraction: how well can an outsider who only sees ordered lists copy the model, for how many queries?"""
