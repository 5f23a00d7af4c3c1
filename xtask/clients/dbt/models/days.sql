{{ config(materialized='incremental', table_type='DUPLICATE', keys=['day'], partition_type='Expr', partition_by=["date_trunc('month', day)"], distributed_by=['day'], buckets=1) }}
select day, count(*) as n, sum(amount) as amount from {{ ref('orders_view') }}
{% if is_incremental() %} where day > (select max(day) from {{ this }}) {% endif %}
group by day
