select 1 from (select sum(amount) a from {{ ref('customers') }}) x, (select sum(amount) a from {{ ref('days') }}) y where x.a <> y.a
